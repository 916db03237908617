"""Runs a cell with jupyter-kernel-client. usage: kernel_client.py BASE TOKEN"""

import json
import sys

from jupyter_kernel_client import JupyterKernelClient

base, token = sys.argv[1:]
with JupyterKernelClient(server_url=base.rstrip("/"), token=token) as kernel:
    reply = kernel.execute("print(6*7)", timeout=60)

if reply["status"] != "ok":
    sys.exit(f"the cell ended with {reply}")
text = "".join(o["text"] for o in reply["outputs"] if o["output_type"] == "stream")
print(json.dumps({"text": text}))
