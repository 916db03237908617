/** Runs the action of a button, and shows its error. The button is disabled in the meantime. */
export async function run(button, action, showSummary) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    showSummary(error.message, "problem");
  } finally {
    button.disabled = false;
  }
}
