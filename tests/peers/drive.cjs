// What the Node drivers have in common.
'use strict';

/** What `work` comes to, if it does so within `limit` milliseconds. */
function before(limit, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result within ${limit} ms`)), limit);
  });
  return Promise.race([work(), late]).finally(() => clearTimeout(timer));
}

/** Prints what came out and ends the process. */
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
