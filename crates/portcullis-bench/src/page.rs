//! Writes results to `docs/benchmarks.md` and `docs/load.md`.

use std::fs;
use std::io;
use std::path::Path;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

/// Replaces the text of a page between `<!-- name -->` and `<!-- /name -->`.
pub(crate) fn write(page: &str, name: &str, text: &str) -> io::Result<()> {
    let path = Path::new(DOCS).join(page);
    match replace(&fs::read_to_string(&path)?, name, text) {
        Some(replaced) => fs::write(path, replaced),
        None => Err(io::Error::other(format!(
            "{page} has no markers `<!-- {name} -->` and `<!-- /{name} -->`"
        ))),
    }
}

fn replace(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name} -->\n"))?;
    let end = format!("<!-- /{name} -->");
    let (_, after) = rest.split_once(&end)?;
    let text = text.trim_end();
    Some(format!("{before}<!-- {name} -->\n\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_the_markers_is_replaced() {
        let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let once = replace(page, "x", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n");
        assert_eq!(replace(&once, "x", "new"), Some(once.clone()));
        assert_eq!(replace(page, "y", "new"), None);
    }
}
