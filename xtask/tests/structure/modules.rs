//! The modules of a crate, read from its files with syn: what each module defines and imports, and which paths it uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, Macro, UseTree};

/// A path in the source, and the line that it is on.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// One module. Several modules can be in one file.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) children: BTreeSet<String>,
    /// Local name to path.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
    /// Modules whose whole content is imported.
    pub(crate) globs: Vec<Vec<String>>,
    pub(crate) items: BTreeSet<String>,
    pub(crate) used: Vec<Used>,
}

/// Module path, beginning with the root file, to module.
pub(crate) type Modules = BTreeMap<Vec<String>, Module>;

/// Adds the modules of one crate root (`lib.rs`, `main.rs`, `bin/*.rs`). Code for tests is left out.
pub(crate) fn read_root(root: &Path, modules: &mut Modules) {
    let directory = root.parent().unwrap().to_owned();
    read_file(root, &directory, &[root.display().to_string()], modules);
}

fn read_file(file: &Path, directory: &Path, path: &[String], modules: &mut Modules) {
    let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let syntax = syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    read_items(&syntax.items, file, directory, path, modules);
}

/// `directory`: where the files of child modules are.
fn read_items(items: &[Item], file: &Path, directory: &Path, path: &[String], modules: &mut Modules) {
    let mut reader = Reader { module: Module { file: file.to_owned(), ..Module::default() }, children: Vec::new() };
    for item in items {
        reader.visit_item(item);
    }
    let Reader { module, children } = reader;
    modules.insert(path.to_vec(), module);
    for child in children {
        let name = child.ident.to_string();
        let below = [path, std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = child.content {
            read_items(&items, file, &directory.join(&name), &below, modules);
        } else {
            let (flat, folder) = (directory.join(format!("{name}.rs")), directory.join(&name));
            let found = if flat.exists() { flat } else { folder.join("mod.rs") };
            read_file(&found, &folder, &below, modules);
        }
    }
}

struct Reader {
    module: Module,
    children: Vec<ItemMod>,
}

impl Reader {
    fn import(&mut self, tree: &UseTree, before: &[String], line: Span) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(part) => self.import(&part.tree, &with(&part.ident), line),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before, line)),
            UseTree::Glob(_) => {
                self.module.globs.push(before.to_vec());
                self.use_path(before.to_vec(), line);
            }
            UseTree::Name(name) if name.ident == "self" => self.import_as(before.last().cloned(), before.to_vec(), line),
            UseTree::Name(name) => self.import_as(Some(name.ident.to_string()), with(&name.ident), line),
            UseTree::Rename(rename) => self.import_as(Some(rename.rename.to_string()), with(&rename.ident), line),
        }
    }

    fn import_as(&mut self, name: Option<String>, path: Vec<String>, line: Span) {
        if let Some(name) = name.filter(|name| name != "_") {
            self.module.imports.insert(name, path.clone());
        }
        self.use_path(path, line);
    }

    fn use_path(&mut self, path: Vec<String>, span: Span) {
        self.module.used.push(Used { path, line: span.start().line });
    }

    /// The paths in the arguments of a macro, which syn does not parse.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut separated, mut start) = (Vec::<String>::new(), false, Span::call_site());
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if !separated {
                        self.flush(&mut path, start);
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    separated = false;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => separated = true,
                TokenTree::Group(group) => {
                    self.flush(&mut path, start);
                    separated = false;
                    self.read_tokens(group.stream());
                }
                _ => {
                    self.flush(&mut path, start);
                    separated = false;
                }
            }
        }
        self.flush(&mut path, start);
    }

    fn flush(&mut self, path: &mut Vec<String>, start: Span) {
        if path.len() > 1 {
            self.use_path(path.clone(), start);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(module) => {
                self.module.children.insert(module.ident.to_string());
                self.children.push(module.clone());
                return;
            }
            Item::Use(import) => return self.import(&import.tree, &[], import.span()),
            Item::Const(item) => drop(self.module.items.insert(item.ident.to_string())),
            Item::Enum(item) => drop(self.module.items.insert(item.ident.to_string())),
            Item::Fn(item) => drop(self.module.items.insert(item.sig.ident.to_string())),
            Item::Static(item) => drop(self.module.items.insert(item.ident.to_string())),
            Item::Struct(item) => drop(self.module.items.insert(item.ident.to_string())),
            Item::Trait(item) => drop(self.module.items.insert(item.ident.to_string())),
            Item::Type(item) => drop(self.module.items.insert(item.ident.to_string())),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Const(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.use_path(names, path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in path)` depends on nothing.
    }

    /// Such as `#[arg(value_parser = crate::cli::duration)]`.
    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.read_tokens(list.tokens.clone());
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.read_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item with these attributes is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}
