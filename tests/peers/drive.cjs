// The common functions of the Node drivers.
'use strict';

/** Returns the result of `work`, or rejects after `limit` milliseconds. */
function before(limit, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result within ${limit} ms`)), limit);
  });
  return Promise.race([work(), late]).finally(() => clearTimeout(timer));
}

/** Prints the outcome and ends the process. */
function conclude(outcome) {
  outcome.then(
    (value) => process.stdout.write(`${JSON.stringify(value)}\n`, () => process.exit(0)),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { before, conclude };
