//! The definitions, imports and child modules of a Rust file, and the lengths of its functions.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, ExprLit, ItemMod, ItemUse, Lit, Meta, Signature, UseTree, Visibility,
};

use crate::lex::At;

/// A module, type, function, constant, variant or macro.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub at: At,
    /// Whether it is a type or trait that is `pub`, everywhere or somewhere.
    pub is_public_type: bool,
    /// The lines of a function's body, braces included.
    pub lines: Option<usize>,
}

/// A name that a `use` brings into a module.
#[derive(Debug, Clone)]
pub struct Import {
    /// The path of the item, as written.
    pub path: Vec<String>,
    /// Whether it is a re-export.
    pub public: bool,
    /// Where the `use` stands.
    pub at: At,
}

/// `mod name;`: a module in a file of its own.
#[derive(Debug)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// The argument of `#[path]`.
    pub path: Option<String>,
    /// Where its name stands.
    pub at: At,
}

/// The contents of a file. The items of a module in braces count as the file's.
#[derive(Debug, Default)]
pub struct Items {
    /// Everything that has a name.
    pub definitions: Vec<Definition>,
    /// The names that a path into the file's module can have next.
    pub names: BTreeSet<String>,
    /// The names that it imports.
    pub imports: BTreeMap<String, Import>,
    /// Its imports with `*`.
    pub globs: Vec<Import>,
    /// The modules that it declares in files of their own.
    pub children: Vec<Child>,
}

/// Reads the items of a file.
pub fn read(text: &str) -> syn::Result<Items> {
    let mut reader = Reader::default();
    reader.visit_file(&syn::parse_file(text)?);
    Ok(reader.items)
}

#[derive(Default)]
struct Reader {
    items: Items,
    /// How many modules in braces are around.
    depth: usize,
}

impl Reader {
    fn define(&mut self, ident: &Ident, is_public_type: bool, body: Option<&Block>) {
        let lines = body.map(|body| {
            let braces = body.brace_token.span;
            braces.close().end().line + 1 - braces.open().start().line
        });
        let (name, at) = (ident.to_string(), ident.span().into());
        self.items.definitions.push(Definition { name, at, is_public_type, lines });
    }

    fn item(&mut self, ident: &Ident, is_public_type: bool, body: Option<&Block>) {
        self.items.names.insert(ident.to_string());
        self.define(ident, is_public_type, body);
    }

    fn method(&mut self, signature: &Signature, body: Option<&Block>) {
        self.define(&signature.ident, false, body);
    }

    /// Adds the names of a `use`. `import` has the path so far.
    fn imports(&mut self, tree: &UseTree, mut import: Import) {
        match tree {
            // In a module in braces, `super` is the file's module.
            UseTree::Path(step)
                if step.ident == "super" && import.path.is_empty() && self.depth > 0 =>
            {
                self.imports(&step.tree, import);
            }
            UseTree::Path(step) => {
                import.path.push(step.ident.to_string());
                self.imports(&step.tree, import);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.imports(tree, import.clone()))
            }
            UseTree::Name(name) => self.import(&name.ident, &name.ident, import),
            UseTree::Rename(name) => self.import(&name.rename, &name.ident, import),
            UseTree::Glob(_) => self.items.globs.push(import),
        }
    }

    fn import(&mut self, name: &Ident, last: &Ident, mut import: Import) {
        if last != "self" {
            import.path.push(last.to_string());
        }
        let name =
            if name == "self" { import.path.last().cloned() } else { Some(name.to_string()) };
        self.items.imports.extend(name.map(|name| (name, import)));
    }
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}

/// Visits of items that have a name and a visibility.
macro_rules! visits {
    ($($visit:ident $item:ident $is_type:literal;)*) => {
        $(fn $visit(&mut self, item: &'ast syn::$item) {
            self.item(&item.ident, $is_type && !matches!(item.vis, Visibility::Inherited), None);
            visit::$visit(self, item);
        })*
    };
}

impl<'ast> Visit<'ast> for Reader {
    visits! {
        visit_item_struct ItemStruct true;
        visit_item_enum ItemEnum true;
        visit_item_union ItemUnion true;
        visit_item_type ItemType true;
        visit_item_trait ItemTrait true;
        visit_item_const ItemConst false;
        visit_item_static ItemStatic false;
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() {
            self.item(&module.ident, false, None);
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        } else {
            self.define(&module.ident, false, None);
            let path = module.attrs.iter().find_map(path_attribute);
            let (name, at) = (module.ident.to_string(), module.ident.span().into());
            self.items.children.push(Child { name, path, at });
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        self.imports(
            &item.tree,
            Import { path: Vec::new(), public, at: item.use_token.span.into() },
        );
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        item.ident.iter().for_each(|ident| self.item(ident, false, None));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.item(&item.sig.ident, false, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.method(&item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.method(&item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.define(&variant.ident, false, None);
    }
}
