//! The EKS Pod Identity agent: a pod's token for credentials, by an association of ServiceAccount and role.
//! <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pattern::Facts;
use super::policy::{Ask, Named};
use super::{Iam, token};
use crate::clock::after;
use crate::error::AwsError;
use crate::store::arn::ACCOUNT;

const AUDIENCE: &str = "pods.eks.amazonaws.com";

impl Iam {
    /// Pods of this ServiceAccount get this role, as `aws eks create-pod-identity-association` says. The role must trust the service.
    pub fn associate(&self, namespace: &str, account: &str, role: &str) {
        self.state().associations.insert(format!("system:serviceaccount:{namespace}:{account}"), role.to_owned());
    }

    /// Answers `GET /v1/credentials`.
    pub(crate) fn pod_credentials(&self, token: &str, now: Timestamp) -> Result<Value, AwsError> {
        let refused = |message: &str| AwsError::new("AccessDeniedException", message);
        let (providers, associations) = {
            let state = self.state();
            (state.providers.clone(), state.associations.clone())
        };
        let (_, claims) = token::verify(token, &providers, Some(AUDIENCE)).map_err(|(_, message)| refused(&message))?;
        let role = associations.get(&claims.sub).ok_or_else(|| refused("there is no association for this ServiceAccount"))?;
        let account: Vec<&str> = claims.sub.split(':').collect();
        let [_, _, namespace, name] = account.as_slice() else { return Err(refused("the subject is no ServiceAccount")) };
        let tags = BTreeMap::from([
            ("kubernetes-namespace".to_owned(), (*namespace).to_owned()),
            ("kubernetes-service-account".to_owned(), (*name).to_owned()),
        ]);
        let who = Named { service: Some("pods.eks.amazonaws.com".to_owned()), ..Named::default() };
        let mut facts = Facts::default();
        facts.put_tags("aws:RequestTag/", &tags);
        for action in ["sts:AssumeRole", "sts:TagSession"] {
            let ask = Ask { action: action.to_owned(), resource: role.clone(), facts: facts.clone() };
            if !self.trusts(role, &ask, &who) {
                return Err(refused("the role does not trust pods.eks.amazonaws.com"));
            }
        }
        let issued = self.issue(role, &format!("eks-{name}"), tags, after(now, std::time::Duration::from_hours(1)));
        Ok(json!({
            "AccessKeyId": issued.id,
            "SecretAccessKey": issued.secret,
            "Token": issued.token,
            "Expiration": issued.expiration,
            "AccountId": ACCOUNT,
        }))
    }
}
