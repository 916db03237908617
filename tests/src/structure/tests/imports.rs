use std::collections::{BTreeMap, BTreeSet};

use super::sample;
use crate::structure::imports::{Imports, parse_table, replace_table, table};

#[test]
fn every_kind_of_path_is_an_import() {
    for code in [
        "use crate::b::X;",
        "use crate::{b::X, c};",
        "use crate::b;",
        "use super::b::X as Y;",
        "use super::{c, b::{self, X}};",
        "use super::super::a::super_is_no_import; use crate::b as other;",
        "fn f() { crate::b::f() }",
        "fn f() { super::b::f::<u8>() }",
        "fn f(_: &crate::b::X) {}",
        "fn f() -> impl Iterator<Item = crate::b::X> { std::iter::empty() }",
        "impl crate::b::T for u8 {}",
        "fn f() { use crate::b; }",
        "fn f(x: u8) { match x { crate::b::ONE => {} _ => {} } }",
        "mod inner { use super::super::b::X; }",
        "mod inner { fn f() { super::super::b::f() } }",
        "fn f() { mod inner { use super::super::b::X; } }",
        "fn f() { println!(\"{}\", crate::b::f()) }",
        "fn f() { select! { x = super::b::f() => {} } }",
        "macro_rules! m { () => { $crate::b::f() } }",
        "macro_rules! m { () => { use $crate::{c, b::{X, Y}}; } }",
        "pin_project! { struct S { #[pin] field: crate::b::X } }",
        "use crate::Renamed;",
        "use crate::*;",
        "fn f() { let _: crate::Renamed; }",
        "use crate::c; use crate::b::*;",
    ] {
        let (krate, _folder) = sample(&[
            (
                "lib.rs",
                "mod a; mod b; mod c; pub use self::b::X as Renamed;",
            ),
            ("a.rs", code),
            ("b.rs", ""),
            ("c.rs", ""),
        ]);
        let rows = Imports::of(&krate).rows();
        assert!(rows["a"].contains("b"), "{code}: {rows:?}");
        assert!(rows["b"].is_empty() && rows["c"].is_empty(), "{code}");
    }
}

#[test]
fn other_paths_are_no_imports() {
    for code in [
        "use std::fmt; use b::X; use ::b::Y;",
        "use self::inner::X; mod inner { pub struct X; use super::Y; } struct Y;",
        "use crate::a::inner::X; mod inner;",
        "use crate::Root; fn f() { crate::f() }",
        "use crate::External;",
        "//! [`crate::b`]\n/// [`super::b::X`]\nfn f() {}",
        "#[cfg(test)] mod tests { use crate::b; }",
        "#[cfg(test)] mod in_a_file;",
        "#[cfg(test)] use crate::b;",
        "#[cfg(all(test, feature = \"x\"))] fn f() { crate::b::f() }",
        "#[cfg(not(any(not(test), unix)))] fn f() { crate::b::f() }",
        "impl S { #[cfg(test)] fn f() { crate::b::f() } }",
        "struct S { #[cfg(test)] field: crate::b::X }",
        "fn f() { #[cfg(test)] let x = crate::b::f(); }",
        "fn f() { #[cfg(test)] { crate::b::f() } }",
        "fn f(x: u8) { match x { #[cfg(test)] 1 => crate::b::f(), _ => {} } }",
        "pub(in crate::a) fn f() {}",
    ] {
        let (krate, _folder) = sample(&[
            (
                "lib.rs",
                "mod a; mod b; pub struct Root; pub fn f() {} pub use other::External;",
            ),
            ("a/mod.rs", code),
            (
                "a/inner.rs",
                "use super::*; use super::super::a; pub struct X;",
            ),
            ("a/in_a_file.rs", "use crate::b;"),
            ("b.rs", ""),
        ]);
        let rows = Imports::of(&krate).rows();
        assert_eq!(rows["a"], BTreeSet::new(), "{code}");
        assert!(Imports::of(&krate).cycles().is_empty(), "{code}");
    }
}

#[test]
fn an_import_outside_tests_counts_whatever_else_it_depends_on() {
    for code in [
        "#[cfg(not(test))] use crate::b;",
        "#[cfg(any(test, feature = \"testing\"))] use crate::b;",
        "#[cfg(feature = \"axum\")] fn f() { crate::b::f() }",
        "#[cfg(shuttle)] use crate::b;",
    ] {
        let (krate, _folder) = sample(&[("lib.rs", "mod a; mod b;"), ("a.rs", code), ("b.rs", "")]);
        assert!(Imports::of(&krate).rows()["a"].contains("b"), "{code}");
    }
}

#[test]
fn a_cycle_is_found_and_described() {
    for back in [
        "use crate::a;",
        "use crate::{a, e};",
        "mod inner { use super::super::a::X; }",
        "fn f() { crate::a::f() }",
    ] {
        let (krate, _folder) = sample(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("e.rs", ""),
            ("a.rs", "\nuse crate::b;"),
            ("b/mod.rs", "mod deep;"),
            ("b/deep.rs", "use super::super::c;"),
            ("c.rs", back),
            ("d.rs", "use crate::a; use crate::b;"),
        ]);
        let imports = Imports::of(&krate);
        let cycles = imports.cycles();
        assert_eq!(cycles.len(), 1, "{cycles:?}");
        let lines: Vec<_> = cycles[0].lines().collect();
        let names: Vec<_> = lines
            .iter()
            .map(|line| line.split(" (").next().unwrap())
            .collect();
        assert_eq!(
            names,
            ["a", "  imports b", "  imports c", "  imports a"],
            "{back}"
        );
        assert!(lines[1].ends_with("a.rs:2: crate::b)"), "{}", lines[1]);
        assert!(
            lines[2].ends_with("deep.rs:1: super::super::c)"),
            "{}",
            lines[2]
        );
    }
}

#[test]
fn two_separate_cycles_are_both_found() {
    let (krate, _folder) = sample(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::{a, c};"),
        ("c.rs", "use crate::d;"),
        ("d.rs", "use crate::c;"),
    ]);
    assert_eq!(Imports::of(&krate).cycles().len(), 2);
}

#[test]
fn a_table_is_read_and_replaced_as_it_is_written() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let rows = BTreeMap::from([
        ("a".to_owned(), names(&["b", "c"])),
        ("b".to_owned(), names(&[])),
    ]);
    let text = format!(
        "# Title\n\n<!-- the imports -->\n{}<!-- end -->\n",
        table(&rows)
    );
    assert_eq!(parse_table(&text, "the imports"), Ok(rows.clone()));

    let empty = "# Title\n\n<!-- the imports -->\n| a | b |\n<!-- end -->\n\nmore text\n";
    let filled = replace_table(empty, "the imports", &table(&rows)).expect("a table");
    assert_eq!(parse_table(&filled, "the imports"), Ok(rows.clone()));
    assert!(filled.starts_with("# Title\n\n<!-- the imports -->\n\n| module |"));
    assert!(
        filled.ends_with(" |  |\n\n<!-- end -->\n\nmore text\n"),
        "{filled}"
    );

    let other = "<!-- the imports -->\n\n| module | imports |\n| --- | :-- |\n| `b` | – |\n\
                 | a | `c`, b |\n\n<!-- end -->";
    assert_eq!(parse_table(other, "the imports"), Ok(rows));
    for wrong in [
        "",
        "<!-- the imports -->\n| a | b |",
        "<!-- the imports -->\n| a | b | c |\n<!-- end -->",
        "<!-- the imports -->\n| a | b |\n| a | c |\n<!-- end -->",
    ] {
        assert!(parse_table(wrong, "the imports").is_err(), "{wrong}");
    }
}
