// usage: node services.cjs BASE TOKEN default|url|header|subprotocol
'use strict';
const { conclude } = require('./drive.cjs');
const { runCell } = require('./run-cell.cjs');

const [base, token, way] = process.argv.slice(2);
conclude(runCell({ base, token, way, Socket: require('ws') }));
