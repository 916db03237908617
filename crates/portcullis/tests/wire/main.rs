//! What goes over the wire, in tables.

use portcullis as _;
