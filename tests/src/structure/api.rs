//! Lists the public API of a crate: what other crates can name, and the traits that it implements.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Generics, ImplItem, Item, ItemImpl, TraitItem, Type, parse_quote};

use super::exports::{Export, Exports};
use super::names::Def;
use super::print;
use super::source::{self, Crate, Module};

/// A line of the list.
#[derive(Debug)]
pub(super) struct PublicItem {
    /// The path that other crates use, as the key of the order.
    path: Vec<String>,
    /// Puts an item before its implementations.
    rank: u8,
    pub(super) text: String,
    /// The documentation, of an item that needs some.
    pub(super) documentation: Option<String>,
    /// The file and the line.
    pub(super) place: String,
}

/// Returns the public items of a crate, in order.
pub(super) fn public_items(krate: &Crate) -> Vec<PublicItem> {
    let exports = Exports::of(krate);
    let mut list = List {
        krate,
        exports: &exports,
        found: Vec::new(),
    };
    list.add_modules();
    list.add_items();
    list.add_macros();
    list.add_implementations();
    list.found.sort_by(|one, other| {
        let key = |it: &PublicItem| (it.path.clone(), it.rank, it.text.clone());
        key(one).cmp(&key(other))
    });
    list.found
}

struct List<'a> {
    krate: &'a Crate,
    exports: &'a Exports<'a>,
    found: Vec<PublicItem>,
}

impl List<'_> {
    fn add_modules(&mut self) {
        for (index, paths) in &self.exports.modules {
            let module = &self.krate.modules[*index];
            let first = paths.first().expect("a module is exported at a path");
            let text = format!("pub mod {}", first.joined());
            self.push(
                module,
                Span::call_site(),
                first,
                0,
                &text,
                Some(&module.attrs),
            );
            self.add_other_paths(module, paths);
        }
        for foreign in &self.exports.foreign {
            let module = &self.krate.modules[foreign.module];
            let text = format!("pub use {} = {}", foreign.export.joined(), foreign.target);
            self.push(module, foreign.span, &foreign.export, 0, &text, None);
        }
    }

    fn add_other_paths(&mut self, module: &Module, paths: &BTreeSet<Export>) {
        let mut paths = paths.iter();
        let Some(first) = paths.next() else {
            return;
        };
        for other in paths {
            let text = format!("pub use {} = {}", other.joined(), first.joined());
            self.push(module, Span::call_site(), other, 0, &text, None);
        }
    }

    fn add_items(&mut self) {
        for ((index, item), paths) in &self.exports.items {
            let module = &self.krate.modules[*index];
            let first = paths.first().expect("an item is exported at a path");
            self.add_item(module, &module.items[*item], first);
            self.add_other_paths(module, paths);
        }
    }

    fn add_item(&mut self, module: &Module, item: &Item, export: &Export) {
        let path = export.joined();
        let attrs = source::attributes(item);
        let text = match item {
            Item::Const(it) => format!("const {path}: {}", print::ty(&it.ty)),
            Item::Static(it) => format!("static {path}: {}", print::ty(&it.ty)),
            Item::Fn(it) => print::function(&path, &it.sig, None),
            Item::Type(it) => {
                let (name, generics, target) = (&it.ident, &it.generics, &it.ty);
                let declared = parse_quote!(type #name #generics = #target;);
                print::header("type", name, &path, declared)
            }
            Item::TraitAlias(_) => format!("trait {path}"),
            Item::Struct(it) => {
                let (name, generics, bounds) = (&it.ident, &it.generics, &it.generics.where_clause);
                let declared = parse_quote!(struct #name #generics #bounds;);
                let mut text = print::header("struct", name, &path, declared);
                add_fields(&mut text, &it.fields);
                text
            }
            Item::Union(_) => format!("union {path}"),
            Item::Enum(it) => {
                let (name, generics, bounds) = (&it.ident, &it.generics, &it.generics.where_clause);
                let declared = parse_quote!(enum #name #generics #bounds {});
                print::header("enum", name, &path, declared)
            }
            Item::Trait(it) => {
                let mut declared = it.clone();
                declared.items.clear();
                declared.attrs.clear();
                declared.vis = syn::Visibility::Inherited;
                print::header("trait", &it.ident, &path, Item::Trait(declared))
            }
            _ => return,
        };
        self.push(
            module,
            item.span(),
            export,
            0,
            &format!("pub {text}"),
            Some(attrs),
        );
        match item {
            Item::Struct(it) => self.add_fields(module, &it.fields, export, false),
            Item::Union(it) => {
                self.add_fields(module, &Fields::Named(it.fields.clone()), export, false);
            }
            Item::Enum(it) => {
                for variant in &it.variants {
                    self.add_variant(module, variant, export);
                }
            }
            Item::Trait(it) => {
                for inner in &it.items {
                    self.add_trait_item(module, inner, export);
                }
            }
            _ => {}
        }
    }

    /// Adds the named fields that are public; those of a variant all are.
    fn add_fields(&mut self, module: &Module, fields: &Fields, around: &Export, all: bool) {
        for field in fields {
            let Some(name) = &field.ident else {
                continue;
            };
            if all || source::is_public(&field.vis) {
                let cfg = source::conditions(&field.attrs);
                let export = around.part(&name.to_string(), &cfg);
                let text = format!("pub {}: {}", export.joined(), print::ty(&field.ty));
                self.push(module, field.span(), &export, 0, &text, Some(&field.attrs));
            }
        }
    }

    fn add_variant(&mut self, module: &Module, variant: &syn::Variant, around: &Export) {
        let attrs = &variant.attrs;
        let export = around.part(&variant.ident.to_string(), &source::conditions(attrs));
        let mut text = format!("pub {}", export.joined());
        if let Fields::Unnamed(fields) = &variant.fields {
            let types: Vec<_> = fields.unnamed.iter().map(|it| print::ty(&it.ty)).collect();
            text += &format!("({})", types.join(", "));
        }
        self.push(module, variant.span(), &export, 0, &text, Some(attrs));
        self.add_fields(module, &variant.fields, &export, true);
    }

    fn add_trait_item(&mut self, module: &Module, item: &TraitItem, around: &Export) {
        let (name, attrs) = match item {
            TraitItem::Const(it) => (&it.ident, &it.attrs),
            TraitItem::Fn(it) => (&it.sig.ident, &it.attrs),
            TraitItem::Type(it) => (&it.ident, &it.attrs),
            _ => return,
        };
        if source::is_test_only(attrs) {
            return;
        }
        let export = around.part(&name.to_string(), &source::conditions(attrs));
        let path = export.joined();
        let (text, is_provided) = match item {
            TraitItem::Const(it) => {
                let text = format!("const {path}: {}", print::ty(&it.ty));
                (text, it.default.is_some())
            }
            TraitItem::Fn(it) => (print::function(&path, &it.sig, None), it.default.is_some()),
            TraitItem::Type(it) => {
                let mut declared = it.clone();
                declared.attrs.clear();
                // Only inside a trait can a type have bounds.
                let text = print::header("type", name, &path, parse_quote!(trait X { #declared }));
                let text = text.trim_start_matches("trait X {").trim_end_matches(';');
                (text.trim().to_owned(), it.default.is_some())
            }
            _ => return,
        };
        let provided = if is_provided { " { provided }" } else { "" };
        let text = format!("pub {text}{provided}");
        self.push(module, item.span(), &export, 0, &text, Some(attrs));
    }

    /// Adds the exported macros, and the invocations of the macros of this crate between items: they
    /// can add to the API, so they are listed as they are written.
    fn add_macros(&mut self) {
        let modules = self.krate.modules.iter();
        let all = modules.flat_map(|module| module.items.iter().map(move |item| (module, item)));
        let all: Vec<_> = all
            .filter_map(|(module, item)| match item {
                Item::Macro(item) => Some((module, item)),
                _ => None,
            })
            .collect();
        let local: BTreeSet<_> = all
            .iter()
            .filter_map(|(_, item)| item.ident.as_ref())
            .collect();
        for (module, item) in &all {
            let root = Export::new(vec![self.krate.name.clone()], module.cfg.clone());
            let cfg = source::conditions(&item.attrs);
            let is_exported = item
                .attrs
                .iter()
                .any(|attr| attr.path().is_ident("macro_export"));
            match (&item.ident, item.mac.path.get_ident()) {
                (Some(name), _) if is_exported => {
                    let export = root.part(&name.to_string(), &cfg);
                    let text = format!("pub macro {}!", export.joined());
                    self.push(module, name.span(), &export, 0, &text, Some(&item.attrs));
                }
                (None, Some(name)) if local.contains(name) => {
                    let path = [&root.path[..], &module.path].concat();
                    let export = Export::new(path, root.cfg).under(&cfg);
                    let arguments = print::tidy(&item.mac.tokens.to_string());
                    let text = format!("{name}!({arguments}) in {}", export.joined());
                    self.push(module, item.span(), &export, 1, &text, None);
                }
                _ => {}
            }
        }
    }

    fn add_implementations(&mut self) {
        for (index, module) in self.krate.modules.iter().enumerate() {
            for item in &module.items {
                match item {
                    Item::Impl(item) if item.trait_.is_none() => self.add_methods(index, item),
                    Item::Impl(item) => self.add_implementation(index, item),
                    _ => {}
                }
            }
        }
    }

    fn add_methods(&mut self, index: usize, item: &ItemImpl) {
        let module = &self.krate.modules[index];
        let Some(export) = self.export_of(index, &item.self_ty, &item.generics) else {
            return;
        };
        let on = print::type_with_path(&item.self_ty, &export.joined());
        let cfg = [module.cfg.as_slice(), &source::conditions(&item.attrs)].concat();
        let export = export.under(&cfg);
        for inner in &item.items {
            let (name, vis, attrs) = match inner {
                ImplItem::Const(it) => (&it.ident, &it.vis, &it.attrs),
                ImplItem::Fn(it) => (&it.sig.ident, &it.vis, &it.attrs),
                _ => continue,
            };
            if !source::is_public(vis) || source::is_test_only(attrs) {
                continue;
            }
            let part = export.part(&name.to_string(), &source::conditions(attrs));
            let path = format!("{on}::{name}");
            let text = match inner {
                ImplItem::Const(it) => format!("pub const {path}: {}", print::ty(&it.ty)),
                ImplItem::Fn(it) => {
                    let text = print::function(&path, &it.sig, Some(&item.generics));
                    format!("pub {text}")
                }
                _ => continue,
            };
            self.push(module, inner.span(), &part, 0, &text, Some(attrs));
        }
    }

    /// Adds an implementation whose type and trait other crates can name, if one of them, or one of
    /// their arguments, is of this crate.
    fn add_implementation(&mut self, index: usize, item: &ItemImpl) {
        let module = &self.krate.modules[index];
        let Some((trait_path, _)) = &item.trait_ else {
            return;
        };
        let mut mentions = Mentions::default();
        mentions.visit_type(&item.self_ty);
        mentions.visit_path(trait_path);
        let parameters = type_parameters(&item.generics);
        let mut first = None;
        for path in mentions
            .0
            .iter()
            .filter(|path| !parameters.contains(&path[0]))
        {
            for def in self.exports.names.resolve(index, path) {
                if let Def::Item(id) = def {
                    let Some(export) = self.exports.first(id) else {
                        return;
                    };
                    first.get_or_insert_with(|| export.clone());
                }
            }
        }
        let Some(mut key) = first else {
            return;
        };
        let self_export = self.export_of(index, &item.self_ty, &item.generics);
        let trait_type: Type = parse_quote!(#trait_path);
        let trait_export = self.export_of(index, &trait_type, &item.generics);
        let [on, of] = [&self_export, &trait_export].map(|it| it.as_ref().map(Export::joined));
        let text = print::implementation(item, on.as_deref(), of.as_deref());
        for export in [self_export, trait_export].into_iter().flatten() {
            key.cfg.extend(export.cfg);
        }
        let key = key
            .under(&module.cfg)
            .under(&source::conditions(&item.attrs));
        self.push(module, item.span(), &key, 1, &text, None);
    }

    /// Returns the public path of a type of this crate.
    fn export_of(&self, index: usize, ty: &Type, generics: &Generics) -> Option<Export> {
        let Type::Path(it) = ty else {
            return None;
        };
        let path = segments(&it.path);
        if it.qself.is_some() || type_parameters(generics).contains(&path[0]) {
            return None;
        }
        let defs = self.exports.names.resolve(index, &path);
        defs.into_iter().find_map(|def| match def {
            Def::Item(id) => self.exports.first(id).cloned(),
            _ => None,
        })
    }

    fn push(
        &mut self,
        module: &Module,
        span: Span,
        export: &Export,
        rank: u8,
        text: &str,
        attrs: Option<&[Attribute]>,
    ) {
        let cfg: BTreeSet<_> = export.cfg.iter().cloned().collect();
        let cfg: Vec<_> = cfg.into_iter().collect();
        let text = print::attributes(attrs.unwrap_or_default(), &cfg) + text;
        let documentation = attrs.filter(|_| !text.contains("#[doc(hidden)]"));
        self.found.push(PublicItem {
            path: export.path.clone(),
            rank,
            text,
            documentation: documentation.map(|it| source::documentation(it, &module.file)),
            place: format!("{}:{}", module.file.display(), span.start().line),
        });
    }
}

/// Adds the fields of a tuple struct, or a mark that not all named fields are public.
fn add_fields(text: &mut String, fields: &Fields) {
    let shown = match fields {
        Fields::Unit => return,
        Fields::Named(it) if it.named.iter().all(|field| source::is_public(&field.vis)) => return,
        Fields::Named(_) => " { .. }".to_owned(),
        Fields::Unnamed(it) => {
            let types = it
                .unnamed
                .iter()
                .map(|field| match source::is_public(&field.vis) {
                    true => print::ty(&field.ty),
                    false => "_".to_owned(),
                });
            format!("({})", types.collect::<Vec<_>>().join(", "))
        }
    };
    let at = text.find(" where ").unwrap_or(text.len());
    text.insert_str(at, &shown);
}

fn type_parameters(generics: &Generics) -> BTreeSet<String> {
    let parameters = generics.type_params();
    parameters.map(|it| it.ident.to_string()).collect()
}

fn segments(path: &syn::Path) -> Vec<String> {
    let names = path.segments.iter().map(|it| it.ident.to_string());
    let leading = path.leading_colon.map(|_| String::new());
    leading.into_iter().chain(names).collect()
}

/// All paths in a type.
#[derive(Default)]
struct Mentions(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Mentions {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(segments(path));
        visit::visit_path(self, path);
    }
}
