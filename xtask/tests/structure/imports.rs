//! Which file imports from which: paths resolved to the files that define what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::modules::{Modules, read_root};

/// From file to file, to the first use: its line and path. Files are relative to the repository.
pub(crate) type Imports = BTreeMap<(String, String), (usize, String)>;

/// The imports between the files of one workspace member.
pub(crate) struct Member {
    modules: Modules,
    /// The path of the library's root module, and its crate name.
    library: Option<(String, Vec<String>)>,
    repository: PathBuf,
    source: String,
}

impl Member {
    /// `source`: the directory with `lib.rs` and `main.rs`, relative to the repository. `name`: the library's name in code.
    pub(crate) fn read(repository: &Path, source: &str, name: &str) -> Self {
        let directory = repository.join(source);
        let mut roots: Vec<PathBuf> = ["lib.rs", "main.rs"].iter().map(|file| directory.join(file)).filter(|root| root.exists()).collect();
        if let Ok(programs) = std::fs::read_dir(directory.join("bin")) {
            roots.extend(programs.flatten().map(|program| program.path()));
        }
        let mut modules = Modules::new();
        for root in &roots {
            read_root(root, &mut modules);
        }
        let library = roots.iter().find(|root| root.ends_with("lib.rs"));
        let library = library.map(|root| (name.to_owned(), vec![root.display().to_string()]));
        Self { modules, library, repository: repository.to_owned(), source: source.to_owned() }
    }

    /// The directory with its files, relative to the repository.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Its files without those that contain only tests, relative to the repository.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        self.modules.values().map(|module| self.relative(&module.file)).collect()
    }

    pub(crate) fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (at, module) in &self.modules {
            for used in &module.used {
                let Some(target) = self.resolve(at, &used.path, 0) else { continue };
                let (from, to) = (self.relative(&module.file), self.relative(&target));
                if from != to {
                    imports.entry((from, to)).or_insert_with(|| (used.line, used.path.join("::")));
                }
            }
        }
        imports
    }

    fn relative(&self, file: &Path) -> String {
        file.strip_prefix(&self.repository).unwrap_or(file).display().to_string()
    }

    /// The file that defines what a path names; `None` for another crate, for a local name, and for a module by itself.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<PathBuf> {
        let (mut module, mut rest) = self.first(at, path, depth)?;
        loop {
            let found = self.modules.get(&module)?;
            let (name, after) = rest.split_first()?;
            let below = [module.as_slice(), std::slice::from_ref(name)].concat();
            if found.children.contains(name) && self.modules.contains_key(&below) {
                (module, rest) = (below, after.to_vec());
            } else if found.items.contains(name) {
                return Some(found.file.clone());
            } else if let Some(import) = found.imports.get(name).filter(|_| depth < 8) {
                return self.resolve(&module, &[import.as_slice(), after].concat(), depth + 1);
            } else {
                let through = |glob: &Vec<String>| self.resolve(&module, &[glob.as_slice(), &rest].concat(), depth + 1);
                return if depth < 8 { found.globs.iter().find_map(through) } else { None };
            }
        }
    }

    /// The module in which a path begins, and what is left of the path.
    fn first(&self, at: &[String], path: &[String], depth: usize) -> Option<(Vec<String>, Vec<String>)> {
        let (name, after) = path.split_first()?;
        let module = self.modules.get(at)?;
        match name.as_str() {
            "crate" => Some((at.get(..1)?.to_vec(), after.to_vec())),
            "self" => Some((at.to_vec(), after.to_vec())),
            "super" => {
                let mut up = at.split_last()?.1.to_vec();
                let mut rest = after;
                while let Some((_, after)) = rest.split_first().filter(|(name, _)| *name == "super") {
                    up.pop();
                    rest = after;
                }
                Some((up, rest.to_vec()))
            }
            _ if module.children.contains(name) => Some((at.to_vec(), path.to_vec())),
            _ => {
                if let Some(import) = module.imports.get(name).filter(|import| import.first() != Some(name) && depth < 8) {
                    return self.first(at, &[import.as_slice(), after].concat(), depth + 1);
                }
                let (library, root) = self.library.as_ref()?;
                (name == library).then(|| (root.clone(), after.to_vec()))
            }
        }
    }
}
