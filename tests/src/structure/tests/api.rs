use super::sample;
use crate::structure::api::{PublicItem, public_items};

fn lines(files: &[(&str, &str)]) -> Vec<String> {
    let (krate, _folder) = sample(files);
    public_items(&krate).into_iter().map(|it| it.text).collect()
}

#[test]
fn items_are_listed_with_their_signatures() {
    let lib = "
        pub const fn f<T: Clone>(mut x: T, (a, b): (u8, u8)) -> Option<T> where T: Send { None }
        pub async unsafe fn g<'a>(x: &'a str) {}
        pub const LIMIT: usize = 8;
        pub static NAME: &str = \"x\";
        pub type Alias<T> = Vec<(T, u8)>;
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub struct S<T = ()> where T: Send { pub field: T, secret: u8 }
        pub struct Tuple(pub u8, u16);
        pub struct Unit;
        pub struct Open { pub one: u8 }
        pub union U { pub a: u8, b: u16 }
        #[macro_export]
        macro_rules! exported { () => {} }
        macro_rules! private { () => {} }
    ";
    assert_eq!(
        lines(&[("lib.rs", lib)]),
        [
            "pub mod sample",
            "pub type sample::Alias<T> = Vec<(T, u8)>",
            "pub const sample::LIMIT: usize",
            "pub static sample::NAME: &str",
            "pub struct sample::Open",
            "pub sample::Open::one: u8",
            "#[derive(Clone, Debug)] #[non_exhaustive] pub struct sample::S<T = ()> { .. } where T: Send",
            "pub sample::S::field: T",
            "pub struct sample::Tuple(u8, _)",
            "pub union sample::U",
            "pub sample::U::a: u8",
            "pub struct sample::Unit",
            "pub macro sample::exported!",
            "pub const fn sample::f<T: Clone>(x: T, _: (u8, u8)) -> Option<T> where T: Send",
            "pub async unsafe fn sample::g<'a>(x: &'a str)",
        ]
    );
}

#[test]
fn enums_and_traits_are_listed_with_their_parts() {
    let lib = "
        pub enum E { A, B(u8, Vec<u8>), C { x: u8 } }
        pub trait T<X>: Send + Sync {
            const N: usize = 1;
            type Item: Iterator<Item = u8> + Send;
            fn required(&self, x: X) -> Self::Item;
            fn provided(mut self: Box<Self>) {}
        }
    ";
    assert_eq!(
        lines(&[("lib.rs", lib)]),
        [
            "pub mod sample",
            "pub enum sample::E",
            "pub sample::E::A",
            "pub sample::E::B(u8, Vec<u8>)",
            "pub sample::E::C",
            "pub sample::E::C::x: u8",
            "pub trait sample::T<X>: Send + Sync",
            "pub type sample::T::Item: Iterator<Item = u8> + Send",
            "pub const sample::T::N: usize { provided }",
            "pub fn sample::T::provided(self: Box<Self>) { provided }",
            "pub fn sample::T::required(&self, x: X) -> Self::Item",
        ]
    );
}

#[test]
fn methods_have_the_bounds_of_their_impl() {
    let lib = "
        pub struct S<T>(T);
        impl<T: Clone> S<T> where T: Send {
            pub const N: usize = 1;
            #[must_use = \"it does nothing alone\"]
            pub fn new(x: T) -> Self where T: Sync { S(x) }
            pub(crate) fn internal(&self) {}
            fn private(&self) {}
            #[cfg(test)]
            pub fn in_tests() {}
            #[doc(hidden)]
            pub fn hidden(self: &Self) {}
        }
        impl S<u8> { pub fn byte(mut self) -> u8 { 0 } }
        struct Private;
        impl Private { pub fn unreachable() {} }
    ";
    assert_eq!(
        lines(&[("lib.rs", lib)]),
        [
            "pub mod sample",
            "pub struct sample::S<T>(_)",
            "pub const sample::S<T>::N: usize",
            "pub fn sample::S<u8>::byte(self) -> u8",
            "#[doc(hidden)] pub fn sample::S<T>::hidden(self: &Self) where T: Clone, T: Send",
            "#[must_use] pub fn sample::S<T>::new(x: T) -> Self where T: Clone, T: Send, T: Sync",
        ]
    );
}

#[test]
fn trait_implementations_are_listed_if_other_crates_can_name_all_of_them() {
    let files = [
        (
            "lib.rs",
            "
            mod inner;
            pub use inner::{Named, Trait};
            impl<X> Trait for Vec<X> where X: Clone { type Out = X; fn f(&self) {} }
            impl From<Named> for String { fn from(_: Named) -> String { String::new() } }
            impl From<Private> for Named { fn from(_: Private) -> Self { Named } }
            struct Private;
            ",
        ),
        (
            "inner.rs",
            "
            use std::fmt;
            pub struct Named;
            pub trait Trait { type Out; fn f(&self); }
            trait Sealed {}
            struct Hidden;
            impl fmt::Display for Named { }
            impl Sealed for Named {}
            impl fmt::Display for Hidden { }
            impl super::Trait for &Named { type Out = u8; fn f(&self) {} }
            ",
        ),
    ];
    assert_eq!(
        lines(&files),
        [
            "pub mod sample",
            "pub struct sample::Named",
            "impl From<Named> for String",
            "impl fmt::Display for sample::Named",
            "impl sample::Trait for &Named { type Out = u8; }",
            "pub trait sample::Trait",
            "impl<X> sample::Trait for Vec<X> where X: Clone { type Out = X; }",
            "pub type sample::Trait::Out",
            "pub fn sample::Trait::f(&self)",
        ]
    );
}

#[test]
fn an_item_is_at_its_shortest_path_and_its_other_paths_are_re_exports() {
    let files = [
        (
            "lib.rs",
            "
            pub mod a;
            mod private;
            pub use self::a::deep::{X, Y as Renamed};
            pub use crate::private::f as g;
            pub use private::*;
            pub use other_crate::{self, inner::Z, Q as R};
            pub use other_crate::prelude::*;
            pub(crate) use self::a::deep::Hidden;
            ",
        ),
        (
            "a/mod.rs",
            "pub mod deep; pub use deep::X; pub use self::deep as shallow;",
        ),
        (
            "a/deep.rs",
            "pub struct X; pub struct Y; pub struct Hidden; pub use super::deep::X as Again;",
        ),
        (
            "private.rs",
            "pub fn f() {} mod f { pub struct NotHere; } pub use self::f::NotHere; \
             pub(crate) fn internal() {}",
        ),
    ];
    assert_eq!(
        lines(&files),
        [
            "pub mod sample",
            "pub use sample::* = other_crate::prelude::*",
            "pub struct sample::NotHere",
            "pub use sample::R = other_crate::Q",
            "pub struct sample::Renamed",
            "pub struct sample::X",
            "pub use sample::Z = other_crate::inner::Z",
            "pub mod sample::a",
            "pub use sample::a::X = sample::X",
            "pub mod sample::a::deep",
            "pub use sample::a::deep::Again = sample::X",
            "pub struct sample::a::deep::Hidden",
            "pub use sample::a::deep::X = sample::X",
            "pub use sample::a::deep::Y = sample::Renamed",
            "pub use sample::a::shallow = sample::a::deep",
            "pub fn sample::f()",
            "pub use sample::g = sample::f",
            "pub use sample::other_crate = other_crate",
        ]
    );
}

#[test]
fn features_are_listed() {
    let files = [
        (
            "lib.rs",
            "
            #[cfg(feature = \"a\")] pub mod a;
            #[cfg(unix)] pub use self::b::Y;
            mod b;
            #[cfg_attr(feature = \"serde\", derive(Serialize))]
            #[cfg_attr(docsrs, doc(cfg(feature = \"serde\")))]
            pub enum E { #[cfg(feature = \"b\")] V }
            #[cfg(test)] pub fn in_tests() {}
            ",
        ),
        (
            "a.rs",
            "
            #[cfg(any(feature = \"b\", not(unix)))] pub struct X;
            #[cfg(feature = \"a\")] impl X { #[cfg(feature = \"c\")] pub fn f() {} }
            ",
        ),
        (
            "b.rs",
            "pub struct Y; #[cfg(feature = \"a\")] impl Clone for Y {}",
        ),
    ];
    assert_eq!(
        lines(&files),
        [
            "pub mod sample",
            "#[cfg_attr(feature = \"serde\", derive(Serialize))] pub enum sample::E",
            "#[cfg(feature = \"b\")] pub sample::E::V",
            "#[cfg(unix)] pub struct sample::Y",
            "#[cfg(all(feature = \"a\", unix))] impl Clone for sample::Y",
            "#[cfg(feature = \"a\")] pub mod sample::a",
            "#[cfg(all(feature = \"a\", any(feature = \"b\", not(unix))))] pub struct sample::a::X",
            "#[cfg(all(feature = \"a\", feature = \"c\", any(feature = \"b\", not(unix))))] \
             pub fn sample::a::X::f()",
        ]
    );
}

#[test]
fn macros_are_expanded_or_listed() {
    let lib = "
        pin_project_lite::pin_project! {
            #[must_use]
            pub struct Future<F> { #[pin] inner: F, pub open: u8 }
        }
        macro_rules! tuple { ($($name:ident)*) => {} }
        tuple!(A B);
        thread_local! { static X: u8 = 0; }
    ";
    assert_eq!(
        lines(&[("lib.rs", lib)]),
        [
            "pub mod sample",
            "tuple!(A B) in sample",
            "#[must_use] pub struct sample::Future<F> { .. }",
            "pub sample::Future::open: u8",
        ]
    );
}

#[test]
fn modules_of_every_kind_are_read() {
    let files = [
        (
            "lib.rs",
            "
            pub mod inline { pub mod file; pub struct A; }
            #[path = \"elsewhere/other.rs\"] pub mod named;
            #[cfg(test)] mod tests;
            ",
        ),
        ("inline/file.rs", "pub mod deep; pub struct B;"),
        ("inline/file/deep.rs", "pub struct C;"),
        ("elsewhere/other.rs", "pub mod next;"),
        (
            "elsewhere/next/mod.rs",
            "#![cfg(feature = \"x\")] pub struct D;",
        ),
    ];
    assert_eq!(
        lines(&files),
        [
            "pub mod sample",
            "pub mod sample::inline",
            "pub struct sample::inline::A",
            "pub mod sample::inline::file",
            "pub struct sample::inline::file::B",
            "pub mod sample::inline::file::deep",
            "pub struct sample::inline::file::deep::C",
            "pub mod sample::named",
            "#[cfg(feature = \"x\")] pub mod sample::named::next",
            "#[cfg(feature = \"x\")] pub struct sample::named::next::D",
        ]
    );
}

#[test]
fn documentation_and_place_of_an_item_are_known() {
    let lib = "
        #![doc = include_str!(\"chapter.md\")]
        //! More.

        /// Names a thing.
        ///
        /// Details.
        pub struct S {
            /// Counts things.
            pub count: u8,
        }
        impl S {
            /** Makes one. */
            pub fn new() {}
            #[doc(hidden)]
            pub fn hidden() {}
        }
        impl Clone for S {}
        pub use other::Thing;
    ";
    let (krate, _folder) = sample(&[("lib.rs", lib), ("chapter.md", "# Title\n")]);
    let items = public_items(&krate);
    let documentation = |text: &str| {
        let is_it = |it: &&PublicItem| it.text.contains(text);
        let item = items.iter().find(is_it).expect(text);
        (item.documentation.as_deref(), item.place.as_str())
    };
    assert_eq!(documentation("pub mod sample").0, Some("# Title\nMore.\n"));
    let (text, place) = documentation("pub struct sample::S");
    assert_eq!(text, Some("Names a thing.\n\nDetails.\n"));
    assert!(place.ends_with("lib.rs:5"), "{place}");
    assert_eq!(documentation("S::count").0, Some("Counts things.\n"));
    assert_eq!(documentation("S::new").0, Some("Makes one. \n"));
    assert_eq!(documentation("S::hidden").0, None);
    assert_eq!(documentation("impl Clone").0, None);
    assert_eq!(documentation("other::Thing").0, None);
}
