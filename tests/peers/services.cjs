// usage: node services.cjs BASE TOKEN default|url|header|subprotocol
'use strict';
const { runCell } = require('./run-cell.cjs');

const [base, token, way] = process.argv.slice(2);
runCell({ base, token, way, Socket: require('ws') }).then(
  (outcome) => {
    console.log(JSON.stringify(outcome));
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
