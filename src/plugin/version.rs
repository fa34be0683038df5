//! `version`: of the plugin, and of the operator if the user may see it.

use serde::Serialize;

use super::args::VersionArgs;
use super::connect::Session;
use super::output::{self, Page};
use super::{Exit, Trouble, operator};

const PLUGIN: &str = env!("CARGO_PKG_VERSION");

/// What shows that a Deployment is the operator.
const BINDING: &str = "ClusterRoleBinding";

/// The fields of `version -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    plugin: &'static str,
    /// Absent with `--client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    operators: Option<Vec<Operator>>,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operator {
    deployment: String,
    /// `unknown`: the image has no tag.
    version: String,
    /// `ClusterRoleBinding`, or `Label`, which a tenant can set.
    found_by: &'static str,
}

/// Only the version of the plugin.
pub(super) fn of_client(args: &VersionArgs) -> Result<Exit, Trouble> {
    tell(args, &Versions { plugin: PLUGIN, operators: None, message: String::new() })
}

pub(super) async fn run(session: &Session, args: &VersionArgs) -> Result<Exit, Trouble> {
    // Also tells whether there is an API server at all.
    session.client.apiserver_version().await.map_err(|error| session.trouble("get", "", &error))?;
    let found = operator::installed(&session.client).await;
    let message = match &found {
        None => format!("the version of the operator is unknown: you may not list Deployments ({})", can_i(session)),
        Some(operators) if operators.found.is_empty() => {
            "the version of the operator is unknown: no Deployment has the label app.kubernetes.io/name=rotated-secrets".to_owned()
        }
        Some(operators) => {
            let versions: Vec<&str> = operators.trusted().filter_map(|found| found.version.as_deref()).collect();
            let skew = skew(&versions);
            let doubt = (!operators.any_bound()).then(|| format!("the operator was {}", operators.doubt(&session.flags)));
            skew.into_iter().chain(doubt).collect::<Vec<_>>().join("; ")
        }
    };
    let operators = found.iter().flat_map(|operators| &operators.found).map(|installed| Operator {
        deployment: installed.deployment(),
        version: installed.version.clone().unwrap_or_else(|| "unknown".to_owned()),
        found_by: if installed.bound { BINDING } else { "Label" },
    });
    tell(args, &Versions { plugin: PLUGIN, operators: Some(operators.collect()), message })
}

fn can_i(session: &Session) -> String {
    session.flags.cluster("auth can-i list deployments -A")
}

/// What follows from different versions. Before 1.0 a minor version may change the API.
fn skew(versions: &[&str]) -> Option<String> {
    let minor = |version: &str| version.split('.').take(2).map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<u64>>>();
    let own = minor(PLUGIN)?;
    let other = versions.iter().find(|version| minor(version).is_some_and(|minor| minor != own))?;
    let older = minor(other)? < own;
    Some(if older {
        format!("the operator ({other}) is older than this plugin: it may not know every request, and would leave it without an answer")
    } else {
        format!("the operator ({other}) is newer than this plugin: update the plugin, which does not know every field of the status")
    })
}

fn tell(args: &VersionArgs, versions: &Versions) -> Result<Exit, Trouble> {
    output::emit(&args.out, versions, || {
        let mut page = Page::of(&format!("Plugin: {}", versions.plugin));
        for Operator { deployment, version, found_by } in versions.operators.iter().flatten() {
            let by = if *found_by == BINDING { "" } else { ", by its label only" };
            page.line(&format!("Operator: {version} ({deployment}{by})"));
        }
        if !versions.message.is_empty() {
            page.line(&versions.message);
        }
        page
    })?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_minor_version_is_told_and_what_has_no_number_is_not() {
        let own = PLUGIN.split('.').collect::<Vec<_>>();
        let patch = format!("{}.{}.999", own[0], own[1]);
        for (versions, words) in [
            (vec![PLUGIN], None),
            (vec![patch.as_str()], None),
            (vec!["latest"], None),
            (vec![PLUGIN, "99.0.0"], Some("is newer")),
            (vec!["0.0.9"], Some("is older")),
        ] {
            let found = skew(&versions);
            assert_eq!(found.is_some(), words.is_some(), "{versions:?} {found:?}");
            assert!(found.unwrap_or_default().contains(words.unwrap_or_default()));
        }
    }
}
