//! Finds the item that a path names.

use std::collections::BTreeSet;

use syn::Item;

use super::imports::absolute;
use super::source::{self, Cfg, Crate, Import};

/// An item: the index of its module, and its own index in there.
pub(super) type ItemId = (usize, usize);

/// The meaning of a path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Def {
    Item(ItemId),
    Module(usize),
    /// Something of another crate, or a part of an item, with its path as written.
    Other(Vec<String>),
}

/// A name in the scope of a module.
pub(super) struct Binding {
    /// The name; a glob import has none.
    pub(super) name: Option<String>,
    pub(super) is_public: bool,
    pub(super) cfg: Vec<Cfg>,
    pub(super) target: Target,
}

pub(super) enum Target {
    Item(ItemId),
    Module(usize),
    Import(Import),
}

/// The names in the scopes of all modules of a crate.
pub(super) struct Names<'a> {
    krate: &'a Crate,
    bindings: Vec<Vec<Binding>>,
}

/// The paths under way: an import that leads back to itself names nothing more.
type Seen = BTreeSet<(usize, Vec<String>)>;

impl<'a> Names<'a> {
    pub(super) fn of(krate: &'a Crate) -> Self {
        let modules = 0..krate.modules.len();
        let bindings = modules.map(|module| bindings(krate, module)).collect();
        Self { krate, bindings }
    }

    /// Returns the names in the scope of a module.
    pub(super) fn bindings(&self, module: usize) -> &[Binding] {
        &self.bindings[module]
    }

    /// Returns everything that a path in `module` names: more than one item if, for example, a
    /// function and a module have the same name.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> BTreeSet<Def> {
        self.resolve_once(module, path, &mut Seen::new())
    }

    fn resolve_once(&self, module: usize, path: &[String], seen: &mut Seen) -> BTreeSet<Def> {
        let key = (module, path.to_vec());
        if seen.contains(&key) {
            return BTreeSet::new();
        }
        seen.insert(key.clone());
        let found = match absolute(path, &self.krate.modules[module].path) {
            // A path that begins with `::` is one of another crate.
            _ if path.first().is_none_or(String::is_empty) => BTreeSet::new(),
            Some(absolute) => self.descend(0, &absolute, seen),
            None => self.descend(module, path, seen),
        };
        seen.remove(&key);
        match found.is_empty() {
            true => BTreeSet::from([Def::Other(path.to_vec())]),
            false => found,
        }
    }

    /// Follows `path` from a module into its items and submodules.
    fn descend(&self, module: usize, path: &[String], seen: &mut Seen) -> BTreeSet<Def> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::from([Def::Module(module)]);
        };
        let found = self.look_up(module, first, seen);
        if rest.is_empty() {
            return found;
        }
        // Where a module and a function have the same name, the path goes on in the module.
        let has_module = found.iter().any(|def| matches!(def, Def::Module(_)));
        let mut inner = BTreeSet::new();
        for def in found {
            match def {
                Def::Item(_) | Def::Other(_) if has_module => {}
                Def::Module(module) => inner.extend(self.descend(module, rest, seen)),
                Def::Other(before) => {
                    inner.insert(Def::Other([&before, rest].concat()));
                }
                Def::Item((module, _)) => {
                    let root = std::slice::from_ref(&self.krate.name);
                    let around = &self.krate.modules[module].path;
                    inner.insert(Def::Other([root, around, path].concat()));
                }
            }
        }
        inner
    }

    fn look_up(&self, module: usize, name: &str, seen: &mut Seen) -> BTreeSet<Def> {
        let mut found = BTreeSet::new();
        let mut globs = Vec::new();
        for binding in &self.bindings[module] {
            match (binding.name.as_deref(), &binding.target) {
                (None, Target::Import(import)) => globs.push(&import.path),
                (Some(it), _) if it != name => {}
                (_, Target::Item(id)) => {
                    found.insert(Def::Item(*id));
                }
                (_, Target::Module(index)) => {
                    found.insert(Def::Module(*index));
                }
                (_, Target::Import(import)) => {
                    found.extend(self.resolve_once(module, &import.path, seen));
                }
            }
        }
        if !found.is_empty() {
            return found;
        }
        for path in globs {
            for def in self.resolve_once(module, path, seen) {
                let key = [path.as_slice(), &[name.to_owned()]].concat();
                if let Def::Module(target) = def
                    && seen.insert((target, key.clone()))
                {
                    found.extend(self.look_up(target, name, seen));
                    seen.remove(&(target, key));
                }
            }
        }
        found
    }
}

fn bindings(krate: &Crate, module: usize) -> Vec<Binding> {
    let mut found = Vec::new();
    for (index, item) in krate.modules[module].items.iter().enumerate() {
        let cfg = source::conditions(source::attributes(item));
        if let Item::Use(item) = item {
            found.extend(source::imports(item).into_iter().map(|import| Binding {
                name: import.name.clone(),
                is_public: source::is_public(&item.vis),
                cfg: cfg.clone(),
                target: Target::Import(import),
            }));
        } else if let Item::Mod(item) = item {
            let mut path = krate.modules[module].path.clone();
            path.push(item.ident.to_string());
            let all = krate.modules.iter().enumerate();
            found.extend(
                all.filter(|(_, it)| it.path == path)
                    .map(|(index, it)| Binding {
                        name: Some(item.ident.to_string()),
                        is_public: it.is_public,
                        cfg: cfg.clone(),
                        target: Target::Module(index),
                    }),
            );
        } else if let Some((name, is_public)) = name_of(item) {
            found.push(Binding {
                name: Some(name),
                is_public,
                cfg,
                target: Target::Item((module, index)),
            });
        }
    }
    found
}

/// Returns the name of an item, and whether it is public.
fn name_of(item: &Item) -> Option<(String, bool)> {
    let (ident, vis) = match item {
        Item::Const(it) => (&it.ident, &it.vis),
        Item::Enum(it) => (&it.ident, &it.vis),
        Item::Fn(it) => (&it.sig.ident, &it.vis),
        Item::Static(it) => (&it.ident, &it.vis),
        Item::Struct(it) => (&it.ident, &it.vis),
        Item::Trait(it) => (&it.ident, &it.vis),
        Item::TraitAlias(it) => (&it.ident, &it.vis),
        Item::Type(it) => (&it.ident, &it.vis),
        Item::Union(it) => (&it.ident, &it.vis),
        _ => return None,
    };
    Some((ident.to_string(), source::is_public(vis)))
}
