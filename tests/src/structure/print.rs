//! Prints declarations on one line, without their bodies.

use proc_macro2::Ident;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, FnArg, Generics, ImplItem, Item, ItemImpl, Meta, Pat, Path, PathArguments,
    Signature, Type, parse_quote,
};

use super::source::Cfg;

/// Prints `fn path(…) -> … where …`. The bounds of the `impl` around a method become bounds of the
/// method, and the names of arguments that are patterns become `_`.
pub(super) fn function(path: &str, sig: &Signature, around: Option<&Generics>) -> String {
    let mut sig = sig.clone();
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(it) => {
                it.attrs.clear();
                it.mutability = None;
            }
            FnArg::Typed(it) => {
                it.attrs.clear();
                match &mut *it.pat {
                    Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => {
                        name.mutability = None;
                    }
                    pattern => *pattern = parse_quote!(_),
                }
            }
        }
    }
    if let Some(around) = around {
        let clause = sig.generics.make_where_clause();
        let own = std::mem::take(&mut clause.predicates);
        clause.predicates = bounds(around);
        clause.predicates.extend(own);
    }
    let name = sig.ident.to_string();
    let text = print(parse_quote!(#sig {}));
    let text = text.trim_end_matches(['{', '}', ' ', ',']);
    text.replacen(&format!("fn {name}"), &format!("fn {path}"), 1)
}

/// Returns the bounds of generic parameters as predicates of a `where` clause.
fn bounds(generics: &Generics) -> Punctuated<syn::WherePredicate, syn::Token![,]> {
    let mut predicates = Punctuated::new();
    for param in &generics.params {
        match param {
            syn::GenericParam::Type(it) if !it.bounds.is_empty() => {
                let (name, bounds) = (&it.ident, &it.bounds);
                predicates.push(parse_quote!(#name: #bounds));
            }
            syn::GenericParam::Lifetime(it) if !it.bounds.is_empty() => {
                let (name, bounds) = (&it.lifetime, &it.bounds);
                predicates.push(parse_quote!(#name: #bounds));
            }
            _ => {}
        }
    }
    if let Some(clause) = &generics.where_clause {
        predicates.extend(clause.predicates.clone());
    }
    predicates
}

/// Prints an item without body, attributes and visibility. `path` replaces the name after `keyword`.
pub(super) fn header(keyword: &str, name: &Ident, path: &str, item: Item) -> String {
    let text = print(item);
    let text = text.trim_end_matches(['{', '}', ' ', ',', ';']);
    text.replacen(
        &format!("{keyword} {name}"),
        &format!("{keyword} {path}"),
        1,
    )
}

pub(super) fn ty(ty: &Type) -> String {
    let text = print(parse_quote!(type X = #ty;));
    text["type X = ".len()..].trim_end_matches(';').to_owned()
}

/// Prints the header of an implementation with its associated types.
///
/// `self_path` and `trait_path` replace the paths as written.
pub(super) fn implementation(
    item: &ItemImpl,
    self_path: Option<&str>,
    trait_path: Option<&str>,
) -> String {
    let mut item = item.clone();
    item.attrs.clear();
    item.items.retain_mut(|inner| match inner {
        ImplItem::Type(it) => {
            it.attrs.clear();
            true
        }
        _ => false,
    });
    if let (Some(name), Type::Path(it)) = (self_path, &mut *item.self_ty) {
        replace(&mut it.path, name);
    }
    if let (Some(name), Some((path, _))) = (trait_path, &mut item.trait_) {
        replace(path, name);
    }
    let text = print(Item::Impl(item));
    let text = text.trim_end_matches("{}").trim_end_matches([' ', ',']);
    text.to_owned()
}

/// Prints a type with `path` instead of the path as written.
pub(super) fn type_with_path(item: &Type, path: &str) -> String {
    let mut item = item.clone();
    if let Type::Path(it) = &mut item {
        replace(&mut it.path, path);
    }
    ty(&item)
}

fn replace(path: &mut Path, name: &str) {
    let arguments = path.segments.last().map(|last| last.arguments.clone());
    *path = syn::parse_str(name).expect("a path");
    if let (Some(last), Some(arguments)) = (path.segments.last_mut(), arguments) {
        last.arguments = arguments;
    }
    for segment in &mut path.segments {
        if let PathArguments::Parenthesized(_) = segment.arguments {
            segment.arguments = PathArguments::None;
        }
    }
}

/// Prints the attributes that are a part of the API: its conditions, what it derives, and what
/// callers have to do.
pub(super) fn attributes(attrs: &[Attribute], cfg: &[Cfg]) -> String {
    let mut text = String::new();
    match cfg {
        [] => {}
        [one] => text += &format!("#[cfg({one})] "),
        all => text += &format!("#[cfg({})] ", Cfg::All(all.to_vec())),
    }
    let mut others = Vec::new();
    for attr in attrs {
        let name = attr
            .path()
            .segments
            .last()
            .map(|last| last.ident.to_string());
        let shown = match (name.as_deref(), &attr.meta) {
            (Some("derive"), Meta::List(it)) => {
                let list = tidy(&it.tokens.to_string());
                let mut list: Vec<_> = list.split(", ").collect();
                list.sort_unstable();
                format!("derive({})", list.join(", "))
            }
            (Some("doc"), Meta::List(it)) if it.tokens.to_string() == "hidden" => {
                "doc(hidden)".to_owned()
            }
            (Some("cfg_attr"), Meta::List(it)) => {
                let inner = tidy(&it.tokens.to_string());
                if inner.starts_with("docsrs") || !inner.contains("derive(") {
                    continue;
                }
                format!("cfg_attr({inner})")
            }
            (Some(name @ ("deprecated" | "must_use" | "non_exhaustive")), _) => name.to_owned(),
            _ => continue,
        };
        others.push(format!("#[{shown}] "));
    }
    others.sort_unstable();
    text + &others.concat()
}

fn print(item: Item) -> String {
    let mut file = syn::parse_file("").expect("an empty file");
    file.items.push(item);
    tidy(&prettyplease::unparse(&file))
}

/// Puts text on one line, with the spaces that it would have there.
pub(super) fn tidy(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [
        ("( ", "("),
        (", )", ")"),
        (" )", ")"),
        ("[ ", "["),
        (", ]", "]"),
        (" ]", "]"),
        ("< ", "<"),
        (", >", ">"),
        (", {", " {"),
        (" ,", ","),
        (" ::", "::"),
        (":: ", "::"),
        ("derive (", "derive("),
    ] {
        text = text.replace(from, to);
    }
    text
}
