//! The figures in the docs: the page `docs/benchmarks.md`, between its markers.

use std::fs;
use std::io;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");

/// Replaces what stands between `<!-- name -->` and `<!-- /name -->`.
pub(crate) fn write(name: &str, text: &str) -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    match replace(&page, name, text) {
        Some(page) => fs::write(PAGE, page),
        None => Err(io::Error::other(format!(
            "{} has no place for `{name}`",
            Path::new(PAGE).display()
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
    fn replaces_what_is_between_the_markers() {
        let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let once = replace(page, "x", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n");
        assert_eq!(replace(&once, "x", "new"), Some(once.clone()));
        assert_eq!(replace(page, "y", "new"), None);
    }
}
