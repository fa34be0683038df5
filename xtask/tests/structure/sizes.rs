//! The length of files and functions, and the number of fields of structs.

use std::fs;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, ImplItem, Item, Signature};

use super::imports::Member;
use super::modules::{attributes, is_for_tests};

/// Maximum lines of a file, including the tests in it.
const FILE: usize = 400;
/// Maximum lines of a file that contains only tests.
const TEST_FILE: usize = 450;
/// Maximum lines of a function, from its signature to its last brace.
pub(crate) const FUNCTION: usize = 40;
/// Maximum fields of a struct.
pub(crate) const STRUCT: usize = 12;

/// An item, as `file:line name`, and its size.
pub(crate) type Sized = (String, usize);

/// The items over a maximum, as text.
pub(crate) fn over(items: &[Sized], maximum: usize, unit: &str) -> impl Iterator<Item = String> {
    items
        .iter()
        .filter(move |(_, size)| *size > maximum)
        .map(move |(item, size)| format!("    {item}: {size} {unit}, the maximum is {maximum}"))
}

/// The files of a member that are too long, as text.
pub(crate) fn long_files(repository: &Path, member: &Member) -> Vec<String> {
    let code = member.files();
    let mut all = Vec::new();
    collect(&repository.join(member.source()), &mut all);
    assert!(all.len() >= code.len(), "{}: {} files, of which {} are modules", member.source(), all.len(), code.len());
    let sized = |name: &String| (name.clone(), fs::read_to_string(repository.join(name)).unwrap().lines().count());
    let names: Vec<String> = all.iter().map(|path| path.strip_prefix(repository).unwrap().display().to_string()).collect();
    let (code, tests): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| code.contains(*name));
    let code: Vec<Sized> = code.into_iter().map(sized).collect();
    let tests: Vec<Sized> = tests.into_iter().map(sized).collect();
    over(&code, FILE, "lines").chain(over(&tests, TEST_FILE, "lines")).collect()
}

fn collect(directory: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The functions of the modules with their lines, without those for tests.
pub(crate) fn functions(repository: &Path, member: &Member, modules: &[&str]) -> Vec<Sized> {
    measured(repository, member, modules).into_iter().flat_map(|found| found.functions).collect()
}

/// The structs of the modules with their fields, without those for tests.
pub(crate) fn structs(repository: &Path, member: &Member, modules: &[&str]) -> Vec<Sized> {
    measured(repository, member, modules).into_iter().flat_map(|found| found.structs).collect()
}

fn measured(repository: &Path, member: &Member, modules: &[&str]) -> Vec<Measure> {
    let within = |file: &String| modules.iter().any(|module| super::layers::fits(module, file));
    let measure = |file: String| {
        let syntax = syn::parse_file(&fs::read_to_string(repository.join(&file)).unwrap()).unwrap();
        let mut measure = Measure { file, ..Measure::default() };
        measure.visit_file(&syntax);
        measure
    };
    member.files().into_iter().filter(within).map(measure).collect()
}

#[derive(Default)]
struct Measure {
    file: String,
    functions: Vec<Sized>,
    structs: Vec<Sized>,
}

impl Measure {
    fn function(&mut self, signature: &Signature, block: &Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        self.functions.push((format!("{}:{first} {}", self.file, signature.ident), last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Fn(item) => self.function(&item.sig, &item.block),
            Item::Struct(item) => {
                let line = item.ident.span().start().line;
                self.structs.push((format!("{}:{line} {}", self.file, item.ident), item.fields.len()));
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item {
            if is_for_tests(&function.attrs) {
                return;
            }
            self.function(&function.sig, &function.block);
        }
        visit::visit_impl_item(self, item);
    }
}
