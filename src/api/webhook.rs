//! `spec.rotation.webhook`: a receiver that takes the value to a target that the operator does not know.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::target::{check_interval_rule, default_check_interval};

/// Rotation by a receiver, which gets an HTTPS request for each step: apply, verify, undo, check. The contract is in
/// docs/rotation-webhook.md.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.signingKeyRef) != has(self.serviceAccountToken)").message(
    "spec.rotation.webhook: set exactly one of signingKeyRef and serviceAccountToken"
))]
#[x_kube(validation = Rule::new("!has(self.serviceAccountToken) || ((self.url == self.serviceAccountToken.audience || self.url.startsWith(self.serviceAccountToken.audience + '/')) && !self.serviceAccountToken.audience.matches('^https://(kubernetes[.]default|sts[.])'))").message(
    "spec.rotation.webhook.serviceAccountToken.audience: use the url, or its beginning up to a slash, such as https://rotate.shop.svc:8443; an audience of the API server or of AWS is refused"
))]
pub struct WebhookSpec {
    /// URL of the receiver, such as `https://rotate.shop.svc:8443/orders`. The host is a Service of the namespace, or a name
    /// or address that the annotation rotated-secrets.io/allowed-hosts on the Namespace allows. It is not confidential.
    #[schemars(length(min = 9, max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:.]+\\])(:[1-9][0-9]{0,4})?(/[!$-~]*)?$')").message(
        "url: use https, a host in lower case, and no user name or fragment, such as https://rotate.shop.svc:8443/orders"
    ))]
    pub url: String,
    /// RotatedSecret of the namespace whose value is the key that requests are signed with: the field signingKey, or the whole
    /// value if it is a plain text. Set either this or serviceAccountToken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_ref: Option<SigningKeyRef>,
    /// Token of a ServiceAccount of the namespace that requests carry instead of a signature. The url must name a Service of
    /// the namespace as NAME.NAMESPACE.svc. Requires that the administrator enables ServiceAccounts for this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<ServiceAccountToken>,
    /// Certificates of the authorities that the receiver's certificate may be issued by, as PEM. Defaults to the authorities
    /// of the operator's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message(
        "caBundle: paste certificates as PEM, beginning with -----BEGIN CERTIFICATE-----"
    ))]
    pub ca_bundle: Option<String>,
    /// How often the operator asks the receiver whether the target still accepts the current value: 5m to 168h, in hours,
    /// minutes and seconds such as 1h or 90m. If it does not, Rotated and Ready are False with the reason `TargetDiverged`, and
    /// nothing is changed. 0s means never.
    #[serde(default = "default_check_interval")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = check_interval_rule())]
    pub check_interval: String,
}

/// RotatedSecret of the namespace with the key that requests are signed with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyRef {
    /// Name of the RotatedSecret. The operator reads its current value in AWS.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Token of a ServiceAccount of the namespace, made for each request and valid for ten minutes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Audience of the token: the url, or its beginning up to a slash, such as `https://rotate.shop.svc:8443`. So the token is
    /// of no use elsewhere. The receiver must accept this audience only.
    #[schemars(length(min = 9, max = 2048))]
    pub audience: String,
}
