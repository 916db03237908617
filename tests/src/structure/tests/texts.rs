use std::fs;

use crate::structure::files::{files, length, median};
use crate::structure::{summary, words};

#[test]
fn a_summary_that_stands_alone_is_accepted() {
    for documentation in [
        "Closes every session of `subject`.",
        "\nReturns the code\nof the close frame.\n\nmore text without full stop",
        "`max` is the limit.",
        "[`Session`] ends here.",
        "[Sessions](crate::Sessions) end here.",
        "Itself a sentence.",
        "Élan is a word.",
    ] {
        assert_eq!(summary::fault(documentation), None, "{documentation}");
    }
}

#[test]
fn a_summary_that_does_not_stand_alone_is_refused() {
    for (documentation, fault) in [
        ("", "has no summary"),
        ("\n \n", "has no summary"),
        ("# Errors\n\nNever fails at all.", "begins with a heading"),
        ("Returns the code", "does not end with a full stop"),
        (
            "Returns the code:\n\n- one",
            "does not end with a full stop",
        ),
        ("returns the code.", "does not begin with a capital letter"),
        ("(Returns the code.)", "does not end with a full stop"),
        ("The same for one carrier.", "begins with `The same`"),
        ("One more of these.", "begins with `One more`"),
        ("Done with all of it.", "begins with `Done`"),
        ("Its name in logs.", "begins with `Its`"),
        ("See the other one.", "begins with `See`"),
        ("The code.", "has fewer than three words"),
    ] {
        let found = summary::fault(documentation).expect(documentation);
        assert!(found.starts_with(fault), "{documentation}: {found}");
    }
    for word in words::riddles() {
        let found = summary::fault(&format!("Returns the user {word} token it is."));
        let expected = format!("contains `{word}`");
        assert!(found.is_some_and(|it| it.starts_with(&expected)), "{word}");
    }
}

#[test]
fn forbidden_words_are_found_as_whole_words() {
    let words = words::forbidden();
    let [first, .., last] = words.as_slice() else {
        panic!("{words:?}");
    };
    let text = format!("If {}, then\n\"{last}\".", first.to_uppercase());
    assert_eq!(words::find(&text, &words), [first.clone(), last.clone()]);
    let text = format!("{first}s, anybody, x{last}");
    assert_eq!(words::find(&text, &words), [""; 0]);
    let name = format!("fn knows_{first}_here()");
    assert_eq!(words::find(&name, &words), words[..1]);
    assert_eq!(words.len(), 5);
}

#[test]
fn files_are_found_and_measured() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["b", "target", "a/node_modules"] {
        fs::create_dir_all(at(name)).expect("a folder is created");
    }
    for name in [
        "z.rs",
        "b/a.rs",
        "target/x.rs",
        "a/node_modules/x.js",
        "a/y.md",
        "Cargo.lock",
    ] {
        fs::write(at(name), "one\ntwo\n").expect("a file is written");
    }
    assert_eq!(files(folder.path()), ["a/y.md", "b/a.rs", "z.rs"].map(at));
    assert_eq!(length(&at("z.rs")), 2);
    assert_eq!(median(vec![3, 1, 2]), 2);
    assert_eq!(median(vec![4, 1, 2, 3]), 3);
}
