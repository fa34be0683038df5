//! `report`: one row for each credential, of one cluster or of several, for an audit. It reads no Secret.

mod cluster;
mod orphans;
mod owner;
mod rbac;
mod record;
mod row;
mod sheet;

use std::collections::BTreeSet;

use serde::Serialize;

use self::cluster::Rows;
use self::orphans::{Judged, List};
use self::row::Row;
use self::sheet::Sheet;
use super::args::{ClusterArgs, OutputArgs, ReportArgs, ReportFormat};
use super::connect::Session;
use super::format::Format;
use super::kubeconfig::name_of_cluster;
use super::output::{self, Page};
use super::{Exit, Trouble};
use crate::api::TAG_CLUSTER;
use crate::command::{Command, SecretRef};

pub(super) async fn run(flags: &ClusterArgs, args: &ReportArgs) -> Result<Exit, Trouble> {
    let clusters = clusters(flags, args)?;
    if args.orphans.is_empty() { credentials(&clusters, args).await } else { orphans(&clusters, args).await }
}

async fn credentials(clusters: &[ClusterArgs], args: &ReportArgs) -> Result<Exit, Trouble> {
    let (found, mut exit) = each(clusters, async |session, cluster| cluster::rows(session, cluster, args).await).await?;
    if found.is_empty() {
        return Ok(exit);
    }
    let mut rows = Vec::new();
    for Rows { rows: more, exit: of_cluster } in found {
        exit = exit.and(of_cluster);
        rows.extend(more);
    }
    let columns = row::columns(args.max_age_days.is_some(), args.readers);
    write(args.output, &columns, &rows, || if args.readers { footnote() } else { String::new() })?;
    Ok(exit)
}

async fn orphans(clusters: &[ClusterArgs], args: &ReportArgs) -> Result<Exit, Trouble> {
    let List { secrets: listed, truncated } = orphans::read(&args.orphans)?;
    let (found, mut exit) = each(clusters, async |session, cluster| cluster::orphans(session, cluster, args, &listed).await).await?;
    for path in truncated {
        output::note(&format!(
            "error: {path} does not have all secrets: a part of it ends with a NextToken, and the rest does not follow: list them without \
             --max-items and --no-paginate"
        ));
        exit = exit.and(Exit::Unreachable);
    }
    if found.is_empty() {
        return Ok(exit);
    }
    let (mut compared, mut rows) = (BTreeSet::new(), Vec::new());
    for Judged { ids, orphans, unknown } in found {
        if let Some(unknown) = unknown {
            output::note(&format!("error: {unknown}"));
            exit = exit.and(Exit::Unreachable);
        }
        compared.extend(ids);
        rows.extend(orphans);
    }
    let others = listed.iter().filter(|secret| secret.cluster().is_none_or(|id| !compared.contains(id))).count();
    if others > 0 {
        output::note(&format!(
            "{others} of the {} secrets were not compared: their tag {TAG_CLUSTER} names another cluster, or is missing",
            listed.len()
        ));
    }
    write(args.output, &orphans::COLUMNS, &rows, String::new)?;
    Ok(exit.and(Exit::fine_if(rows.is_empty())))
}

/// The flags of each cluster.
fn clusters(flags: &ClusterArgs, args: &ReportArgs) -> Result<Vec<ClusterArgs>, Trouble> {
    let mut seen = BTreeSet::new();
    let contexts: Vec<&String> = args.contexts.iter().filter(|context| seen.insert(context.as_str())).collect();
    if contexts.len() < 2 {
        return Ok(vec![flags.clone()]);
    }
    // Each of them would be read again for each context.
    let conflicting =
        [("--server", flags.server.is_some()), ("--cluster", flags.cluster.is_some()), ("--cluster-id", args.cluster_id.is_some())];
    if let Some((flag, _)) = conflicting.into_iter().find(|(_, given)| *given) {
        return Err(Trouble::usage(format!("{flag} is for one cluster: give one --context with it")));
    }
    Ok(contexts.into_iter().map(|context| ClusterArgs { context: Some(context.clone()), ..flags.clone() }).collect())
}

/// What `read` returns for each cluster, one after the other, because a login may need the terminal. A cluster of several
/// that cannot be read is named on standard error.
async fn each<T>(clusters: &[ClusterArgs], read: impl AsyncFn(&Session, &str) -> Result<T, Trouble>) -> Result<(Vec<T>, Exit), Trouble> {
    let (mut found, mut exit) = (Vec::new(), Exit::Fine);
    for flags in clusters {
        let name = name_of_cluster(flags);
        let ended = match Session::open(flags).await {
            Ok(session) => read(&session, &name).await,
            Err(trouble) => Err(trouble),
        };
        match ended {
            Ok(result) => found.push(result),
            Err(trouble) if clusters.len() == 1 => return Err(trouble),
            Err(trouble) => {
                exit = exit.and(trouble.exit);
                output::note(&format!("error: {name}: {trouble}"));
            }
        }
    }
    Ok((found, exit))
}

fn write<T: Serialize>(
    format: ReportFormat,
    columns: &[&'static str],
    rows: &[T],
    footnote: impl FnOnce() -> String,
) -> Result<(), Trouble> {
    match format {
        ReportFormat::Csv => output::script(&Sheet::of(columns, rows).csv()),
        ReportFormat::Markdown => output::script(&(Sheet::of(columns, rows).markdown() + &footnote())),
        ReportFormat::Json => output::emit(&OutputArgs { output: Some(Format::Json) }, &rows, Page::default),
    }
}

/// The commands for AWS, where only the reader knows the region and the ARN of a row.
fn footnote() -> String {
    let secret = SecretRef { region: "REGION", id: "ARN" };
    let commands = Row::commands(secret).map(|command| format!("$ {command}\n")).concat();
    let list = Command::ListOwned { region: secret.region };
    format!(
        "\n`readers` has the subjects that RBAC allows to read the Secret. Who can read the value in AWS, an administrator \
         finds with these commands, with the region and the ARN of a row:\n\n```console\n{commands}$ {list}\n```\n"
    )
}
