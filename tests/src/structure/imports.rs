//! The imports between the top-level modules of a crate, their cycles, and the table of them in the
//! documentation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Macro, TraitItem};

use super::source::{self, Crate, Module};

/// The imports of a crate: for each top-level module the modules that it imports, each with the
/// first place of such an import.
#[derive(Debug, Default)]
pub(super) struct Imports(BTreeMap<String, BTreeMap<String, String>>);

impl Imports {
    /// Collects the paths of `use` items, of all other code, and of the arguments of macros.
    pub(super) fn of(krate: &Crate) -> Self {
        let mut found = Self::default();
        for module in &krate.modules {
            let Some(top) = module.path.first() else {
                continue;
            };
            found.0.entry(top.clone()).or_default();
            let mut visitor = Visitor {
                krate,
                module,
                path: module.path.clone(),
                found: &mut found,
            };
            module
                .items
                .iter()
                .for_each(|item| visitor.visit_item(item));
        }
        found
    }

    /// Returns a shortest cycle for each group of modules that import each other.
    pub(super) fn cycles(&self) -> Vec<String> {
        let mut cycles = Vec::new();
        let mut covered = BTreeSet::new();
        for module in self.0.keys() {
            if covered.contains(module) {
                continue;
            }
            if let Some(cycle) = self.shortest_cycle(module) {
                cycles.push(self.describe(&cycle));
                covered.extend(cycle);
            }
        }
        cycles
    }

    /// Returns the modules of a shortest way from `start` back to it, with `start` at both ends.
    fn shortest_cycle(&self, start: &str) -> Option<Vec<String>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(module) = queue.pop_front() {
            for next in self.0.get(module)?.keys() {
                if next == start {
                    let mut cycle = vec![start.to_owned(), module.to_owned()];
                    let mut at = module;
                    while at != start {
                        at = before[at];
                        cycle.push(at.to_owned());
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                if !before.contains_key(next.as_str()) {
                    before.insert(next, module);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn describe(&self, cycle: &[String]) -> String {
        let mut text = cycle[0].clone();
        for step in cycle.windows(2) {
            let place = &self.0[&step[0]][&step[1]];
            let _ = write!(text, "\n  imports {} ({place})", step[1]);
        }
        text
    }

    /// Returns the rows of the table.
    pub(super) fn rows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let rows = self.0.iter();
        rows.map(|(module, imports)| (module.clone(), imports.keys().cloned().collect()))
            .collect()
    }
}

/// Writes the table as [`parse_table`] reads it.
pub(super) fn table(rows: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut text = String::from("| module | imports |\n|---|---|\n");
    for (module, imports) in rows {
        let imports: Vec<_> = imports.iter().map(|import| format!("`{import}`")).collect();
        let _ = writeln!(text, "| `{module}` | {} |", imports.join(", "));
    }
    text
}

/// Reads the rows of the table between the lines `<!-- name -->` and `<!-- end -->`.
///
/// Rows can be in any order. A module without imports has an empty cell, or a dash.
pub(super) fn parse_table(
    text: &str,
    name: &str,
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let [_, table, _] = split(text, name)?;
    let mut rows = BTreeMap::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [module, imports] = cells.as_slice() else {
            return Err(format!("not a row with two cells: {line}"));
        };
        let is_heading = *module == "module" || module.chars().all(|c| "-:".contains(c));
        if is_heading {
            continue;
        }
        let names = imports.split(',').map(|name| name.trim().trim_matches('`'));
        let names = names.filter(|name| !["", "-", "–", "—"].contains(name));
        let module = module.trim_matches('`').to_owned();
        if rows
            .insert(module, names.map(str::to_owned).collect())
            .is_some()
        {
            return Err(format!("a second row for the same module: {line}"));
        }
    }
    Ok(rows)
}

/// Puts a table between the lines that [`parse_table`] looks for.
pub(super) fn replace_table(text: &str, name: &str, table: &str) -> Result<String, String> {
    let [before, _, after] = split(text, name)?;
    Ok(format!("{before}\n\n{table}\n{after}"))
}

/// Splits a text after the first line, and before the last line, of a table.
fn split<'a>(text: &'a str, name: &str) -> Result<[&'a str; 3], String> {
    let (begin, end) = (format!("<!-- {name} -->"), "<!-- end -->");
    let start = text
        .find(&begin)
        .ok_or(format!("there is no line {begin}"))?
        + begin.len();
    let length = text[start..]
        .find(end)
        .ok_or(format!("there is no line {end}"))?;
    let (before, rest) = text.split_at(start);
    let (table, after) = rest.split_at(length);
    Ok([before, table, after])
}

struct Visitor<'a> {
    krate: &'a Crate,
    module: &'a Module,
    /// The path of the module around the code. A `mod` inside a function makes it longer.
    path: Vec<String>,
    found: &'a mut Imports,
}

impl Visitor<'_> {
    /// Records the module that a path leads to, if it begins at a module of this crate.
    fn record(&mut self, path: &[String], span: Span) {
        let Some(absolute) = absolute(path, &self.path) else {
            return;
        };
        let top = &self.module.path[0];
        for target in top_level(self.krate, &absolute) {
            if target != *top {
                let line = span.start().line;
                let place = format!("{}:{line}: {}", self.module.file.display(), path.join("::"));
                let imports = self.found.0.entry(top.clone()).or_default();
                imports.entry(target).or_insert(place);
            }
        }
    }

    fn record_tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.record_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    let mut rest = Vec::new();
                    loop {
                        let mut ahead = tokens.clone();
                        let colons = [ahead.next(), ahead.next()];
                        if !colons.iter().flatten().all(is_colon) || colons[1].is_none() {
                            break;
                        }
                        match ahead.next() {
                            Some(TokenTree::Ident(name)) => path.push(name.to_string()),
                            Some(TokenTree::Group(group)) => {
                                rest = group_paths(&path, group.delimiter(), group.stream());
                                tokens = ahead;
                                break;
                            }
                            _ => break,
                        }
                        tokens = ahead;
                    }
                    if rest.is_empty() {
                        rest.push(path);
                    }
                    for path in rest {
                        self.record(&path, first.span());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns the paths of `prefix::{…}`.
fn group_paths(prefix: &[String], delimiter: Delimiter, tokens: TokenStream) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut path = prefix.to_vec();
    if delimiter != Delimiter::Brace {
        return vec![path];
    }
    for token in tokens {
        match token {
            TokenTree::Ident(name) => path.push(name.to_string()),
            TokenTree::Group(group) => {
                paths.extend(group_paths(&path, group.delimiter(), group.stream()));
            }
            TokenTree::Punct(it) if it.as_char() == ',' => {
                paths.push(std::mem::replace(&mut path, prefix.to_vec()));
            }
            _ => {}
        }
    }
    paths.push(path);
    paths
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(it) if it.as_char() == ':')
}

/// Returns a path of this crate from its root, or `None` for any other path.
pub(super) fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let parent = &module[..module.len().checked_sub(1)?];
            match rest.first().map(String::as_str) {
                Some("super") => absolute(rest, parent),
                _ => Some([parent, rest].concat()),
            }
        }
        _ => None,
    }
}

/// Returns the top-level modules that a path from the root leads to. A name that the root re-exports
/// leads to the module that it comes from, and a glob leads to all of them.
fn top_level(krate: &Crate, path: &[String]) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    let name = path.first().filter(|name| *name != "*");
    let is_module = |name: &str| {
        let mut modules = krate.modules.iter();
        modules.any(|module| module.path.len() == 1 && module.path[0] == name)
    };
    if let Some(name) = name.filter(|name| is_module(name)) {
        targets.insert(name.clone());
        return targets;
    }
    let uses = krate.modules[0].items.iter().filter_map(|item| match item {
        Item::Use(item) => Some(source::imports(item)),
        _ => None,
    });
    for import in uses.flatten() {
        if name.is_none() || import.name.is_none() || import.name.as_ref() == name {
            let written = &import.path;
            let from_root = absolute(written, &[]).unwrap_or_else(|| written.clone());
            targets.extend(from_root.first().filter(|name| is_module(name)).cloned());
        }
    }
    targets
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !source::is_test_only(source::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.path.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.path.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for import in source::imports(item) {
            let mut path = import.path;
            path.extend(import.name.is_none().then(|| "*".to_owned()));
            self.record(&path, import.span);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<_> = path
                .segments
                .iter()
                .map(|it| it.ident.to_string())
                .collect();
            self.record(&names, path.segments[0].ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.record_tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attrs = match item {
            ImplItem::Const(it) => &it.attrs,
            ImplItem::Fn(it) => &it.attrs,
            ImplItem::Type(it) => &it.attrs,
            ImplItem::Macro(it) => &it.attrs,
            _ => return,
        };
        if !source::is_test_only(attrs) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attrs = match item {
            TraitItem::Const(it) => &it.attrs,
            TraitItem::Fn(it) => &it.attrs,
            TraitItem::Type(it) => &it.attrs,
            TraitItem::Macro(it) => &it.attrs,
            _ => return,
        };
        if !source::is_test_only(attrs) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !source::is_test_only(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !source::is_test_only(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !source::is_test_only(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !source::is_test_only(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !source::is_test_only(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if !source::is_test_only(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }
}
