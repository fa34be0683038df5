//! Completion of the command line, for `kubectl rotatedsecret <TAB>`: kubectl runs `kubectl_complete-rotatedsecret` with the
//! words so far, as Cobra does, and expects one candidate on each line and a directive at the end.

use clap::{CommandFactory as _, Parser as _};
use kube::api::{Api, ListParams};

use super::args::{Cli, ClusterArgs, Shell};
use super::connect::Session;
use super::kubeconfig::merged;
use super::output::{self, Page};
use super::{Exit, Trouble};
use crate::api::RotatedSecret;
use crate::kubernetes::stored::Brief;

/// Cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: &str = ":4";
/// The most names that are offered.
const MOST: u32 = 500;

/// The script for a shell, or for kubectl.
pub(super) fn script(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Kubectl => return "#!/bin/sh\nexec kubectl-rotatedsecret __complete \"$@\"\n".to_owned(),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubectl-rotatedsecret", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// What can be completed at the end of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// An object that is not among these.
    Objects(Vec<String>),
    Namespaces,
    Contexts,
}

/// Prints the candidates for the last word. A cluster that does not answer has none.
pub(super) async fn run(words: &[String]) -> Result<Exit, Trouble> {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let candidates = match wanted(before, last) {
        Wanted::Words(words) => words,
        Wanted::Contexts => merged(std::env::var_os("KUBECONFIG").as_deref())
            .map(|read| read.contexts.into_iter().map(|named| named.name).collect())
            .unwrap_or_default(),
        Wanted::Objects(used) => objects(before).await.into_iter().filter(|name| !used.contains(name)).collect(),
        Wanted::Namespaces => namespaces(before).await,
    };
    let mut page = Page::default();
    for candidate in candidates.iter().filter(|candidate| candidate.starts_with(last)) {
        page.line(candidate);
    }
    page.line(NO_FILES);
    output::write(&page)?;
    Ok(Exit::Fine)
}

fn wanted(before: &[String], last: &str) -> Wanted {
    let root = Cli::command();
    let mut command = &root;
    let mut used = Vec::new();
    let mut value_of: Option<&clap::Arg> = None;
    for word in before {
        let flag = if value_of.is_some() { None } else { argument(command, &root, word) };
        match (value_of.take(), flag) {
            (Some(_), _) => {}
            (None, Some(argument)) => value_of = (argument.get_action().takes_values() && !word.contains('=')).then_some(argument),
            (None, None) if word.starts_with('-') => {}
            (None, None) => match command.find_subcommand(word) {
                Some(found) if command.has_subcommands() => command = found,
                _ => used.push(word.rsplit('/').next().unwrap_or_default().to_owned()),
            },
        }
    }
    if let Some(argument) = value_of {
        return match argument.get_id().as_str() {
            "namespace" => Wanted::Namespaces,
            "context" => Wanted::Contexts,
            "output" => Wanted::Words(["wide", "name", "json", "yaml", "jsonpath="].map(str::to_owned).to_vec()),
            _ => Wanted::Words(possible(argument)),
        };
    }
    if last.starts_with('-') {
        let flags = command.get_arguments().chain(root.get_arguments()).filter_map(clap::Arg::get_long);
        let mut flags: Vec<String> = flags.map(|flag| format!("--{flag}")).collect();
        flags.sort_unstable();
        flags.dedup();
        return Wanted::Words(flags);
    }
    if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        return Wanted::Words(visible.map(|command| command.get_name().to_owned()).collect());
    }
    match command.get_positionals().next() {
        Some(argument) if ["name", "names"].contains(&argument.get_id().as_str()) => {
            let more = argument.get_num_args().is_some_and(|number| number.max_values() > 1) || used.is_empty();
            if more { Wanted::Objects(used) } else { Wanted::Words(Vec::new()) }
        }
        Some(argument) if used.is_empty() => Wanted::Words(possible(argument)),
        _ => Wanted::Words(Vec::new()),
    }
}

fn possible(argument: &clap::Arg) -> Vec<String> {
    argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// The flag that the word is.
fn argument<'a>(command: &'a clap::Command, root: &'a clap::Command, word: &str) -> Option<&'a clap::Arg> {
    let mut arguments = command.get_arguments().chain(root.get_arguments());
    if let Some(long) = word.strip_prefix("--") {
        let long = long.split('=').next();
        return arguments.find(|argument| argument.get_long() == long);
    }
    let short = word.strip_prefix('-').filter(|short| short.chars().count() == 1)?.chars().next();
    arguments.find(|argument| argument.get_short() == short)
}

/// The cluster that the words so far select, as far as they can be parsed.
fn cluster(before: &[String]) -> ClusterArgs {
    let command = ["kubectl-rotatedsecret".to_owned(), "status".to_owned()];
    let mut kept = Vec::new();
    let mut words = before.iter();
    let root = Cli::command();
    while let Some(word) = words.next() {
        if let Some(argument) = argument(&root, &root, word).filter(|argument| argument.get_action().takes_values()) {
            kept.push(word.clone());
            kept.extend(words.next().filter(|_| !word.contains('=')).cloned());
            let _ = argument;
        }
    }
    Cli::try_parse_from(command.into_iter().chain(kept)).map(|cli| cli.cluster).unwrap_or_default()
}

async fn session(before: &[String]) -> Option<Session> {
    let args = ClusterArgs { request_timeout: jiff::SignedDuration::from_secs(3), ..cluster(before) };
    Session::open(&args).await.ok()
}

async fn objects(before: &[String]) -> Vec<String> {
    let Some(session) = session(before).await else { return Vec::new() };
    let api: Api<Brief<RotatedSecret>> = Api::namespaced(session.client.clone(), &session.namespace);
    let found = api.list_metadata(&ListParams::default().limit(MOST)).await;
    found.map(|list| list.items.iter().map(kube::ResourceExt::name_any).collect()).unwrap_or_default()
}

async fn namespaces(before: &[String]) -> Vec<String> {
    let Some(session) = session(before).await else { return Vec::new() };
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(session.client.clone());
    let found = api.list_metadata(&ListParams::default().limit(MOST)).await;
    found.map(|list| list.items.iter().map(kube::ResourceExt::name_any).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_after(line: &str) -> Wanted {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().unwrap();
        wanted(before, last)
    }

    #[test]
    fn what_can_follow_depends_on_what_is_there() {
        let objects = |used: &[&str]| Wanted::Objects(used.iter().map(|name| (*name).to_owned()).collect());
        for (line, expected) in [
            ("status ", objects(&[])),
            ("status rsec/a ", objects(&["a"])),
            ("rotate a b ", objects(&["a", "b"])),
            ("-n shop verify ", objects(&[])),
            ("verify a ", Wanted::Words(Vec::new())),
            ("status -n ", Wanted::Namespaces),
            ("--context ", Wanted::Contexts),
            ("status --namespace=shop ", objects(&[])),
            ("rotate a --no-wait ", objects(&["a"])),
            ("version ", Wanted::Words(Vec::new())),
        ] {
            assert_eq!(wanted_after(line), expected, "{line:?}");
        }
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        let words = |line: &str| match wanted_after(line) {
            Wanted::Words(words) => words,
            other => panic!("{line}: {other:?}"),
        };
        assert!(words("").contains(&"rollback".to_owned()) && !words("").contains(&"__complete".to_owned()));
        assert!(words("rotate --").contains(&"--force".to_owned()) && words("rotate --").contains(&"--context".to_owned()));
        assert!(words("status -o ").contains(&"wide".to_owned()));
        assert!(words("completion ").contains(&"kubectl".to_owned()));
    }

    #[test]
    fn the_cluster_is_that_of_the_flags() {
        let words: Vec<String> = ["--context", "c", "status", "db", "-n", "shop", "--problems"].map(str::to_owned).to_vec();
        let args = cluster(&words);
        assert_eq!((args.context.as_deref(), args.namespace.as_deref()), (Some("c"), Some("shop")));
    }
}
