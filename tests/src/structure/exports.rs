//! Finds the paths at which other crates find the modules and items of a crate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::Span;

use super::names::{Def, ItemId, Names, Target};
use super::source::{self, Cfg, Crate};

/// A public path. Of several the shortest is the first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Export {
    length: usize,
    pub(super) path: Vec<String>,
    pub(super) cfg: Vec<Cfg>,
}

impl Export {
    pub(super) fn new(path: Vec<String>, cfg: Vec<Cfg>) -> Self {
        let length = path.len();
        Self { length, path, cfg }
    }

    /// Returns the path of something with this name in here, with more conditions.
    pub(super) fn part(&self, name: &str, cfg: &[Cfg]) -> Self {
        let path = [self.path.as_slice(), &[name.to_owned()]].concat();
        Self::new(path, [self.cfg.as_slice(), cfg].concat())
    }

    pub(super) fn under(mut self, cfg: &[Cfg]) -> Self {
        self.cfg.extend_from_slice(cfg);
        self
    }

    pub(super) fn joined(&self) -> String {
        self.path.join("::")
    }
}

pub(super) struct Exports<'a> {
    krate: &'a Crate,
    pub(super) names: Names<'a>,
    pub(super) items: BTreeMap<ItemId, BTreeSet<Export>>,
    pub(super) modules: BTreeMap<usize, BTreeSet<Export>>,
    pub(super) foreign: Vec<Foreign>,
}

/// A re-export from another crate, or of a part of an item.
pub(super) struct Foreign {
    /// The module of the `use`.
    pub(super) module: usize,
    pub(super) span: Span,
    pub(super) export: Export,
    pub(super) target: String,
}

/// The modules whose contents are still to be found.
type Queue = VecDeque<(usize, Export)>;

impl<'a> Exports<'a> {
    /// Follows what is public from the root.
    pub(super) fn of(krate: &'a Crate) -> Self {
        let mut exports = Self {
            krate,
            names: Names::of(krate),
            items: BTreeMap::new(),
            modules: BTreeMap::new(),
            foreign: Vec::new(),
        };
        let root = Export::new(vec![krate.name.clone()], Vec::new());
        let mut queue = Queue::from([(0, root)]);
        while let Some((index, export)) = queue.pop_front() {
            let export = export.under(&krate.modules[index].cfg);
            let is_known = exports.modules.contains_key(&index);
            let paths = exports.modules.entry(index).or_default();
            paths.insert(export.clone());
            // The contents of a module are listed at its first path alone.
            if !is_known {
                exports.contents(index, &export, &mut queue, &mut BTreeSet::new());
            }
        }
        exports
    }

    /// Returns the shortest path of an item that is public.
    pub(super) fn first(&self, id: ItemId) -> Option<&Export> {
        self.items.get(&id)?.first()
    }

    /// Exports what is public in a module, at the path of `around`. A glob import exports the contents
    /// of another module at the same path.
    fn contents(
        &mut self,
        index: usize,
        around: &Export,
        queue: &mut Queue,
        seen: &mut BTreeSet<usize>,
    ) {
        if !seen.insert(index) {
            return;
        }
        let mut globs = Vec::new();
        let mut found = Vec::new();
        for binding in self.names.bindings(index).iter().filter(|it| it.is_public) {
            let at = around.part(binding.name.as_deref().unwrap_or("*"), &binding.cfg);
            match &binding.target {
                Target::Item(id) => found.push((Def::Item(*id), at, None)),
                Target::Module(inner) => queue.push_back((*inner, at)),
                Target::Import(import) => {
                    for def in self.names.resolve(index, &import.path) {
                        match (def, &binding.name) {
                            (Def::Module(inner), None) => {
                                globs.push((inner, around.clone().under(&binding.cfg)));
                            }
                            (def, _) => found.push((def, at.clone(), Some(import))),
                        }
                    }
                }
            }
        }
        let mut foreign = Vec::new();
        for (def, export, import) in found {
            match (def, import) {
                (Def::Item(id), None) => add(&mut self.items, self.krate, id, export),
                (Def::Item(id), Some(_)) if self.is_public(id) => {
                    add(&mut self.items, self.krate, id, export);
                }
                (Def::Module(inner), _) if self.krate.modules[inner].is_public => {
                    queue.push_back((inner, export));
                }
                (Def::Other(path), Some(import)) => {
                    let glob = if import.name.is_none() { "::*" } else { "" };
                    let file = self.krate.modules[index].file.display();
                    let first = path.first().map_or("", String::as_str);
                    let is_local = ["crate", "self", "super"].contains(&first);
                    assert!(!is_local, "{file}: no item is at {path:?}");
                    foreign.push(Foreign {
                        module: index,
                        span: import.span,
                        export,
                        target: path.join("::") + glob,
                    });
                }
                _ => {}
            }
        }
        self.foreign.extend(foreign);
        for (inner, around) in globs {
            self.contents(inner, &around, queue, seen);
        }
    }

    fn is_public(&self, id: ItemId) -> bool {
        let mut bindings = self.names.bindings(id.0).iter();
        bindings.any(|it| it.is_public && matches!(it.target, Target::Item(other) if other == id))
    }
}

fn add(items: &mut BTreeMap<ItemId, BTreeSet<Export>>, krate: &Crate, id: ItemId, export: Export) {
    let module = &krate.modules[id.0];
    let own = source::conditions(source::attributes(&module.items[id.1]));
    let export = export.under(&module.cfg).under(&own);
    items.entry(id).or_default().insert(export);
}
