// The entry of the bundle for browsers: puts `portcullis.runCell` into the page.
'use strict';
const { runCell } = require('./run-cell.cjs');

window.portcullis = { runCell: (options) => runCell({ ...options, Socket: WebSocket }) };
