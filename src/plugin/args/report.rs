//! Flags of `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of `report`.
#[derive(Debug, Args)]
pub(in crate::plugin) struct ReportArgs {
    /// Report the objects of all namespaces.
    #[arg(short = 'A', long)]
    pub(in crate::plugin) all_namespaces: bool,
    /// Context of the kubeconfig; may be repeated, for one report on several clusters. Default: the current context.
    #[arg(long = "context", id = "context", value_name = "NAME", help_heading = "Cluster")]
    pub(in crate::plugin) contexts: Vec<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = ReportFormat::Csv)]
    pub(in crate::plugin) output: ReportFormat,
    /// Label, annotation or tag (spec.aws.tags) of the object, or else label or annotation of its Namespace, that names the
    /// owner; may be repeated: the first that is there counts.
    #[arg(long = "owner-label", value_name = "KEY", default_values = ["team", "owner", "app.kubernetes.io/part-of"])]
    pub(in crate::plugin) owner_labels: Vec<String>,
    /// The same for the contact.
    #[arg(long = "contact-label", value_name = "KEY", default_values = ["contact"])]
    pub(in crate::plugin) contact_labels: Vec<String>,
    /// The same for the classification.
    #[arg(long = "classification-label", value_name = "KEY", default_values = ["data-classification"])]
    pub(in crate::plugin) classification_labels: Vec<String>,
    /// Also say which values are older than this many days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(in crate::plugin) max_age_days: Option<u16>,
    /// Also name the subjects that RBAC allows to read each mirrored Secret. Lists the objects of RBAC.
    #[arg(long)]
    pub(in crate::plugin) readers: bool,
    /// Instead list the AWS secrets that have the tags of this cluster and belong to no object. FILE (may be repeated; - is
    /// standard input) is the output of: aws secretsmanager list-secrets --region REGION --filters
    /// Key=tag-key,Values=rotated-secrets.io/cluster
    #[arg(long, value_name = "FILE", conflicts_with = "readers")]
    pub(in crate::plugin) orphans: Vec<PathBuf>,
    /// ID of the cluster in the tags, as in --cluster-id of the operator. Default: found by the UID of the Namespace
    /// kube-system, and by the objects.
    #[arg(long, value_name = "ID", requires = "orphans")]
    pub(in crate::plugin) cluster_id: Option<String>,
}

/// Output format of `report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::plugin) enum ReportFormat {
    /// RFC 4180, with a header.
    Csv,
    /// An array of objects.
    Json,
    /// A table.
    Markdown,
}
