//! `spec.rotation.lambda`: rotation by AWS with a Lambda function.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Rotation by AWS with a Lambda function.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LambdaSpec {
    /// ARN of the rotation function, in the region of the secret. The function must be allowed by the annotation
    /// rotated-secrets.io/allowed-functions on the Namespace.
    #[schemars(length(min = 20, max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^arn:aws(-[a-z]+)*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_-]{1,128})?$')").message(
        "spec.rotation.lambda.functionArn: use the full ARN of a function, such as arn:aws:lambda:eu-central-1:123456789012:function:rotate"
    ))]
    pub function_arn: String,
}
