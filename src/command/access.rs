//! Commands for audits: which secrets there are in AWS, and who can read one there.

use serde_json::json;

use super::{Command, ROLE, line_of};
use crate::api::TAG_CLUSTER;

impl Command<'_> {
    pub(super) fn audit(&self) -> Option<String> {
        Some(match *self {
            Self::ListOwned { region } => {
                let filter = format!("Key=tag-key,Values={TAG_CLUSTER}");
                line_of(["aws", "secretsmanager", "list-secrets", "--region", region, "--filters", &filter])
            }
            Self::GetResourcePolicy(secret) => {
                line_of(["aws", "secretsmanager", "get-resource-policy", "--region", secret.region, "--secret-id", secret.id])
            }
            Self::SimulateRead(secret) => line_of([
                "aws",
                "iam",
                "simulate-principal-policy",
                "--policy-source-arn",
                ROLE,
                "--action-names",
                "secretsmanager:GetSecretValue",
                "--resource-arns",
                secret.id,
            ]),
            Self::ListFindings(secret) => {
                let filter = json!({"resource": {"eq": [secret.id]}}).to_string();
                let line = ["aws", "accessanalyzer", "list-findings-v2", "--region", secret.region, "--analyzer-arn", "ANALYZER_ARN"];
                line_of(line.into_iter().chain(["--filter", &filter]))
            }
            _ => return None,
        })
    }
}
