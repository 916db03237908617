//! Reads a crate as the compiler does without `cfg(test)`: from `lib.rs` along its `mod` items.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Item, Lit, Meta, Token, UseTree, Visibility};

/// The modules of a crate, with the crate root first.
pub(super) struct Crate {
    /// The name that Rust code uses, for example `portcullis_core`.
    pub(super) name: String,
    pub(super) modules: Vec<Module>,
}

pub(super) struct Module {
    /// The names from the crate root to this module. The root has none.
    pub(super) path: Vec<String>,
    pub(super) file: PathBuf,
    pub(super) is_public: bool,
    pub(super) attrs: Vec<Attribute>,
    /// The conditions of this module and of every module around it.
    pub(super) cfg: Vec<Cfg>,
    /// The items outside `cfg(test)`. A submodule is here without its content, and the items of a
    /// `pin_project!` stand in its place.
    pub(super) items: Vec<Item>,
}

impl Crate {
    /// Reads the crate with the root file `lib`.
    ///
    /// # Panics
    ///
    /// When a file is missing or does not parse.
    pub(super) fn read(name: &str, lib: &Path) -> Self {
        let mut read = Self {
            name: name.to_owned(),
            modules: Vec::new(),
        };
        let root = Module {
            path: Vec::new(),
            file: lib.to_path_buf(),
            is_public: true,
            attrs: Vec::new(),
            cfg: Vec::new(),
            items: Vec::new(),
        };
        read.add_file(root, lib.parent().expect("a file is in a folder"));
        read
    }

    fn add_file(&mut self, mut module: Module, folder: &Path) {
        let file = module.file.display();
        let text = fs::read_to_string(&module.file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let parsed = syn::parse_file(&text)
            .unwrap_or_else(|error| panic!("{file}:{}: {error}", error.span().start().line));
        if !is_test_only(&parsed.attrs) {
            module.attrs.extend(parsed.attrs);
            self.add(module, folder, parsed.items);
        }
    }

    /// Adds a module, then its submodules. `folder` is where their files are.
    fn add(&mut self, mut module: Module, folder: &Path, items: Vec<Item>) {
        module.cfg.extend(conditions(&module.attrs));
        let (path, file, cfg) = (module.path.clone(), module.file.clone(), module.cfg.clone());
        let index = self.modules.len();
        self.modules.push(module);
        let mut kept = Vec::new();
        for mut item in expanded(items) {
            if is_test_only(attributes(&item)) {
                continue;
            }
            if let Item::Mod(item) = &mut item {
                let name = item.ident.to_string();
                let inner = Module {
                    path: [path.as_slice(), std::slice::from_ref(&name)].concat(),
                    file: file.clone(),
                    is_public: is_public(&item.vis),
                    attrs: item.attrs.clone(),
                    cfg: cfg.clone(),
                    items: Vec::new(),
                };
                match item.content.take() {
                    Some((_, items)) => self.add(inner, &folder.join(&name), items),
                    None => {
                        let (file, folder) = place(&name, &item.attrs, &file, folder);
                        self.add_file(Module { file, ..inner }, &folder);
                    }
                }
            }
            kept.push(item);
        }
        self.modules[index].items = kept;
    }
}

/// The file of `mod name;`, and the folder of its own submodules.
fn place(name: &str, attrs: &[Attribute], file: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    let named = attrs.iter().find(|attr| attr.path().is_ident("path"));
    if let Some(path) = named.and_then(|attr| string(&attr.meta)) {
        let place = file.with_file_name(path);
        let folder = place.parent().expect("a file is in a folder").to_path_buf();
        return (place, folder);
    }
    let inner = folder.join(name);
    let flat = folder.join(format!("{name}.rs"));
    match flat.exists() {
        true => (flat, inner),
        false => (inner.join("mod.rs"), inner),
    }
}

/// Puts the items of each `pin_project!` in its place: it returns them as they are.
fn expanded(items: Vec<Item>) -> impl Iterator<Item = Item> {
    items.into_iter().flat_map(|item| match &item {
        Item::Macro(it) if it.mac.path.segments.last().is_some_and(is_pin_project) => {
            match it.mac.parse_body::<syn::File>() {
                Ok(inner) => inner.items,
                Err(_) => vec![item],
            }
        }
        _ => vec![item],
    })
}

fn is_pin_project(segment: &syn::PathSegment) -> bool {
    segment.ident == "pin_project"
}

/// A condition of `#[cfg(…)]`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Cfg {
    Is(String),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Cfg {
    fn parse(meta: &Meta) -> Self {
        let all = |list: &syn::MetaList| -> Vec<Self> {
            let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            inner.expect("a cfg").iter().map(Self::parse).collect()
        };
        match meta {
            Meta::List(list) if list.path.is_ident("all") => Self::All(all(list)),
            Meta::List(list) if list.path.is_ident("any") => Self::Any(all(list)),
            Meta::List(list) => Self::Not(Box::new(all(list).remove(0))),
            Meta::Path(path) => Self::Is(name_of(path)),
            Meta::NameValue(pair) => {
                let value = string(meta).expect("a cfg compares with a string");
                Self::Is(format!("{} = \"{value}\"", name_of(&pair.path)))
            }
        }
    }

    /// Returns the value in a build that is not a test, if it depends on nothing else.
    fn without_tests(&self) -> Option<bool> {
        match self {
            Self::Is(name) => (name == "test").then_some(false),
            Self::Not(inner) => inner.without_tests().map(|value| !value),
            Self::All(all) => decided(all, false),
            Self::Any(any) => decided(any, true),
        }
    }
}

/// Returns `value` if one of `parts` has it, and its opposite if all have that.
fn decided(parts: &[Cfg], value: bool) -> Option<bool> {
    let mut parts = parts.iter().map(Cfg::without_tests);
    let opposite = parts.clone().all(|part| part == Some(!value));
    match parts.any(|part| part == Some(value)) {
        true => Some(value),
        false => opposite.then_some(!value),
    }
}

impl fmt::Display for Cfg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |parts: &[Self]| {
            parts
                .iter()
                .map(Self::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::Is(name) => f.write_str(name),
            Self::Not(inner) => write!(f, "not({inner})"),
            Self::All(all) => write!(f, "all({})", list(all)),
            Self::Any(any) => write!(f, "any({})", list(any)),
        }
    }
}

/// Returns the conditions of `#[cfg(…)]` among `attrs`.
pub(super) fn conditions(attrs: &[Attribute]) -> Vec<Cfg> {
    let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    cfgs.filter_map(|attr| attr.parse_args().ok())
        .map(|meta| Cfg::parse(&meta))
        .collect()
}

/// Returns whether an item with these attributes exists in tests only.
pub(super) fn is_test_only(attrs: &[Attribute]) -> bool {
    let mut conditions = conditions(attrs).into_iter();
    conditions.any(|cfg| cfg.without_tests() == Some(false))
        || attrs.iter().any(|attr| attr.path().is_ident("test"))
}

/// Returns the documentation, without the space that begins each line of `///`.
///
/// A file that `include_str!` names is a part of it. `file` is where the attributes are.
pub(super) fn documentation(attrs: &[Attribute], file: &Path) -> String {
    let mut text = String::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        let Meta::NameValue(pair) = &attr.meta else {
            continue;
        };
        let part = match &pair.value {
            Expr::Macro(it) if it.mac.path.is_ident("include_str") => {
                let name: syn::LitStr = it.mac.parse_body().expect("a path in quotes");
                fs::read_to_string(file.with_file_name(name.value())).expect("a chapter")
            }
            _ => string(&attr.meta).unwrap_or_default(),
        };
        for line in part.lines().chain(part.is_empty().then_some("")) {
            text.push_str(line.strip_prefix(' ').unwrap_or(line));
            text.push('\n');
        }
    }
    text
}

/// One name that a `use` brings into scope.
#[derive(Clone, Debug)]
pub(super) struct Import {
    /// The path as written. It begins with an empty name if it begins with `::`.
    pub(super) path: Vec<String>,
    /// The name in scope; a glob has none.
    pub(super) name: Option<String>,
    pub(super) span: Span,
}

/// Returns the names that a `use` brings into scope.
pub(super) fn imports(item: &syn::ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    path.extend(item.leading_colon.map(|_| String::new()));
    collect(&item.tree, &mut path, &mut found);
    found
}

fn collect(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Import>) {
    let mut leaf = |last: Option<&syn::Ident>, name: Option<String>, span| {
        let mut path = path.clone();
        path.extend(
            last.filter(|last| **last != "self")
                .map(ToString::to_string),
        );
        let name = match name {
            Some(name) if name == "self" => path.last().cloned(),
            name => name,
        };
        found.push(Import { path, name, span });
    };
    match tree {
        UseTree::Name(it) => leaf(Some(&it.ident), Some(it.ident.to_string()), it.ident.span()),
        UseTree::Rename(it) => {
            let name = it.rename.to_string();
            leaf(Some(&it.ident), Some(name), it.ident.span());
        }
        UseTree::Glob(it) => leaf(None, None, it.star_token.spans[0]),
        UseTree::Path(it) => {
            path.push(it.ident.to_string());
            collect(&it.tree, path, found);
            path.pop();
        }
        UseTree::Group(it) => it.items.iter().for_each(|tree| collect(tree, path, found)),
    }
}

pub(super) fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Returns the attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Returns the text of `name = "text"`.
fn string(meta: &Meta) -> Option<String> {
    match meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(it) => match &it.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn name_of(path: &syn::Path) -> String {
    let names: Vec<_> = path
        .segments
        .iter()
        .map(|it| it.ident.to_string())
        .collect();
    names.join("::")
}
