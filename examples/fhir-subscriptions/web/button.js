/** Runs what a button is for, and says what went wrong. */
export async function run(button, action, say) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    say(error.message, "problem");
  } finally {
    button.disabled = false;
  }
}
