//! The page of the kernel server: its cells and their output.

use fantoccini::key::Key;
use portcullis_e2e::Browser;

const KERNEL_IDLE: &str = "#kernel[data-state=idle]";

/// The page, open in a browser.
pub(crate) struct Notebook<'a> {
    browser: &'a Browser,
}

impl<'a> Notebook<'a> {
    /// Waits until the page in `browser` has an idle kernel.
    pub(crate) async fn ready(browser: &'a Browser) -> Self {
        let notebook = Self { browser };
        browser.element(KERNEL_IDLE).await;
        notebook
    }

    /// Types `code` into the last cell, runs it with Shift+Enter, and waits until it is done. Returns
    /// the number of the cell.
    pub(crate) async fn run(&self, code: &str) -> u64 {
        let cell = self.last_cell().await;
        let source = self.browser.element(&format!("#cell-{cell}-source")).await;
        source.click().await.expect("a cell can be clicked");
        // `code` is one line: after Enter the page would indent automatically.
        source.send_keys(code).await.expect("a cell takes text");
        let run = format!(
            "{}{}{}",
            char::from(Key::Shift),
            char::from(Key::Enter),
            NO_KEY
        );
        source.send_keys(&run).await.expect("a cell takes keys");
        self.browser
            .element(&format!("#cell-{cell}[data-state=done]"))
            .await;
        cell
    }

    /// Returns the text output of a cell.
    pub(crate) async fn output(&self, cell: u64) -> String {
        let outputs = self.browser.element(&format!("#cell-{cell}-outputs")).await;
        outputs.text().await.expect("an element has a text")
    }

    /// Waits until the picture in the output of a cell is loaded, and returns its width in pixels.
    pub(crate) async fn picture_width(&self, cell: u64) -> u64 {
        self.browser
            .element(&format!("#cell-{cell}-outputs img"))
            .await;
        let script = format!(
            "const picture = document.querySelector('#cell-{cell}-outputs img');
             await picture.decode();
             return picture.naturalWidth;"
        );
        self.browser
            .run(&script, Vec::new())
            .await
            .as_u64()
            .expect("a width")
    }

    /// Returns the user and the carrier that the page shows.
    pub(crate) async fn identity(&self) -> (String, String) {
        (
            self.hidden_text("identity-name").await,
            self.hidden_text("identity-carrier").await,
        )
    }

    /// Returns the id of the kernel that runs the cells.
    pub(crate) async fn kernel(&self) -> String {
        let id = self
            .browser
            .run("return document.documentElement.dataset.kernel;", vec![])
            .await;
        id.as_str().expect("the page has a kernel").to_owned()
    }

    async fn last_cell(&self) -> u64 {
        let script = "return Number([...document.querySelectorAll('.cell')].at(-1).dataset.cell);";
        self.browser
            .run(script, Vec::new())
            .await
            .as_u64()
            .expect("a page has a cell")
    }

    /// Returns the text of an element that can be hidden.
    async fn hidden_text(&self, id: &str) -> String {
        let script = format!("return document.getElementById('{id}').textContent;");
        self.browser
            .run(&script, Vec::new())
            .await
            .as_str()
            .expect("a text")
            .to_owned()
    }
}

/// Releases the modifier keys.
const NO_KEY: char = '\u{E000}';
