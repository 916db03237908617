// The entry of the bundle for browsers, which defines `portcullis.runCell` in the page.
'use strict';
const { runCell } = require('./run-cell.cjs');

window.portcullis = { runCell: (options) => runCell({ ...options, Socket: WebSocket }) };
