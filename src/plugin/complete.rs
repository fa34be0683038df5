//! Completion of the command line, for `kubectl rotatedsecret <TAB>`: kubectl runs `kubectl_complete-rotatedsecret` with the
//! words so far, as Cobra does, and expects one candidate on each line and a directive at the end.

use clap::{CommandFactory as _, Parser as _};
use kube::api::{Api, ListParams};

use super::args::{Cli, ClusterArgs, Shell};
use super::connect::Session;
use super::kubeconfig::merged;
use super::output::{self, Page};
use super::versions::known;
use super::{Exit, Trouble};
use crate::api::{AWSPREVIOUS, RotatedSecret};
use crate::kubernetes::stored::Brief;

/// Cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: &str = ":4";
/// Cobra's `ShellCompDirectiveDefault`: the shell completes the name of a file.
const FILES: &str = ":0";
/// The most names that are offered.
const MOST: u32 = 500;

/// The script for a shell, or for kubectl. Each asks the plugin for the words that can follow.
pub(super) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("complete/bash.sh"),
        Shell::Zsh => include_str!("complete/zsh.sh"),
        Shell::Fish => include_str!("complete/fish.fish"),
        Shell::Kubectl => "#!/bin/sh\nexec kubectl-rotatedsecret __complete \"$@\"\n",
    }
}

/// What can be completed at the end of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// An object that is not among these.
    Objects(Vec<String>),
    Namespaces,
    /// A version of this object.
    Versions(Option<String>),
    /// A context, a cluster or a user of the kubeconfig.
    Kubeconfig(Kind),
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contexts,
    Clusters,
    Users,
}

/// Prints the candidates for the last word. A cluster that does not answer has none.
pub(super) async fn run(words: &[String]) -> Result<Exit, Trouble> {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (prefix, value, wanted) = asked(before, last);
    let files = wanted == Wanted::Files;
    let candidates = match wanted {
        Wanted::Words(words) => words,
        Wanted::Kubeconfig(kind) => of_kubeconfig(kind),
        Wanted::Objects(used) => objects(before).await.into_iter().filter(|name| !used.contains(name)).collect(),
        Wanted::Namespaces => namespaces(before).await,
        Wanted::Versions(name) => versions(before, name).await,
        Wanted::Files => Vec::new(),
    };
    let mut page = Page::default();
    for candidate in candidates.iter().filter(|candidate| candidate.starts_with(value)) {
        page.line(&format!("{prefix}{candidate}"));
    }
    page.line(if files { FILES } else { NO_FILES });
    output::write(&page)?;
    Ok(Exit::Fine)
}

/// The part of the last word that stays, the part that is completed, and with what.
fn asked<'a>(before: &[String], last: &'a str) -> (&'a str, &'a str, Wanted) {
    let split = |at: usize| last.split_at(at.saturating_add(1));
    if let Some(at) = last.find('=').filter(|_| last.starts_with("--")) {
        let (prefix, value) = split(at);
        let flag = prefix.trim_end_matches('=').to_owned();
        let before: Vec<String> = before.iter().cloned().chain([flag]).collect();
        return (prefix, value, wanted(&before, value));
    }
    let wanted = wanted(before, last);
    match last.find('/') {
        Some(at) if matches!(wanted, Wanted::Objects(_)) => {
            let (prefix, value) = split(at);
            (prefix, value, wanted)
        }
        _ => ("", last, wanted),
    }
}

fn of_kubeconfig(kind: Kind) -> Vec<String> {
    let Ok(read) = merged(std::env::var_os("KUBECONFIG").as_deref()) else { return Vec::new() };
    match kind {
        Kind::Contexts => read.contexts.into_iter().map(|named| named.name).collect(),
        Kind::Clusters => read.clusters.into_iter().map(|named| named.name).collect(),
        Kind::Users => read.auth_infos.into_iter().map(|named| named.name).collect(),
    }
}

/// Arguments whose values are files.
const FILES_OF: [&str; 6] = ["files", "orphans", "kubeconfig", "certificate_authority", "client_certificate", "client_key"];

fn wanted(before: &[String], last: &str) -> Wanted {
    let root = Cli::command();
    let mut command = &root;
    let mut used = Vec::new();
    let mut value_of: Option<&clap::Arg> = None;
    for word in before {
        let flag = if value_of.is_some() { None } else { argument(command, &root, word) };
        match (value_of.take(), flag) {
            (Some(_), _) => {}
            (None, Some(argument)) => value_of = takes_next(argument, word).then_some(argument),
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
            "to" if command.get_name() == "share" => Wanted::Namespaces,
            "to" => Wanted::Versions(used.pop()),
            "context" => Wanted::Kubeconfig(Kind::Contexts),
            "cluster" => Wanted::Kubeconfig(Kind::Clusters),
            "user" => Wanted::Kubeconfig(Kind::Users),
            "output" if possible(argument).is_empty() => {
                Wanted::Words(["wide", "name", "json", "yaml", "jsonpath="].map(str::to_owned).to_vec())
            }
            id if FILES_OF.contains(&id) => Wanted::Files,
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
        Some(argument) if FILES_OF.contains(&argument.get_id().as_str()) => Wanted::Files,
        Some(argument) if used.is_empty() => Wanted::Words(possible(argument)),
        _ => Wanted::Words(Vec::new()),
    }
}

/// Whether the next word is the value of the flag.
fn takes_next(argument: &clap::Arg, word: &str) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set() && !word.contains('=')
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

/// AWSPREVIOUS and the versions that the status lists, without the current one.
async fn versions(before: &[String], name: Option<String>) -> Vec<String> {
    let mut found = vec![AWSPREVIOUS.to_owned()];
    if let (Some(session), Some(name)) = (session(before).await, name)
        && let Ok(object) = session.object(&name).await
    {
        let current = object.status.as_ref().and_then(|status| status.aws.as_ref()?.current_version_id.clone());
        found.extend(known(&object).into_iter().filter(|version| Some(version) != current.as_ref()));
    }
    found
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
            ("verify a ", objects(&["a"])),
            ("rollback a ", Wanted::Words(Vec::new())),
            ("rollback a --to ", Wanted::Versions(Some("a".to_owned()))),
            ("rollback --to ", Wanted::Versions(None)),
            ("share a --to ", Wanted::Namespaces),
            ("share --to a --dry-run ", objects(&[])),
            ("status -n ", Wanted::Namespaces),
            ("--context ", Wanted::Kubeconfig(Kind::Contexts)),
            ("--user ", Wanted::Kubeconfig(Kind::Users)),
            ("lint ", Wanted::Files),
            ("lint a.yaml ", Wanted::Files),
            ("schedule -f ", Wanted::Files),
            ("report --orphans ", Wanted::Files),
            ("report --context a --context ", Wanted::Kubeconfig(Kind::Contexts)),
            ("schedule ", objects(&[])),
            ("status --kubeconfig ", Wanted::Files),
            ("status --namespace=shop ", objects(&[])),
            ("rotate a --no-wait ", objects(&["a"])),
            ("version ", Wanted::Words(Vec::new())),
        ] {
            assert_eq!(wanted_after(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_value_after_an_equals_sign_and_a_name_after_its_type_are_completed() {
        let asked_for = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (last, before) = words.split_last().unwrap();
            let (prefix, value, wanted) = asked(before, last);
            (prefix.to_owned(), value.to_owned(), wanted)
        };
        let of = |prefix: &str, value: &str, wanted: Wanted| (prefix.to_owned(), value.to_owned(), wanted);
        assert_eq!(asked_for("status --namespace=sh"), of("--namespace=", "sh", Wanted::Namespaces));
        assert_eq!(asked_for("status rsec/d"), of("rsec/", "d", Wanted::Objects(Vec::new())));
        assert_eq!(asked_for("status -n shop/"), of("", "shop/", Wanted::Namespaces));
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
        assert_eq!(words("report -o "), ["csv", "json", "markdown"]);
        assert_eq!(words("lint -o "), ["text", "json", "sarif"]);
        assert!(words("completion ").contains(&"kubectl".to_owned()));
    }

    #[test]
    fn the_cluster_is_that_of_the_flags() {
        let words: Vec<String> = ["--context", "c", "status", "db", "-n", "shop", "--problems"].map(str::to_owned).to_vec();
        let args = cluster(&words);
        assert_eq!((args.context.as_deref(), args.namespace.as_deref()), (Some("c"), Some("shop")));
    }
}
