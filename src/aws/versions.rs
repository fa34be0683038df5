//! Versions and their labels.

use aws_sdk_secretsmanager::primitives::Blob;

use super::{Address, SecretsManager, Written, written};
use crate::failure::Failure;
use crate::value::Payload;
use crate::version_id::VersionId;

const CURRENT: &str = "AWSCURRENT";

/// What became of the move of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is where it was to go.
    Done,
    /// It was not where the look had seen it, or the version is gone, or there is no room for one more label.
    Refused,
}

impl SecretsManager {
    /// Writes a version with the staging label `stage`. With `AWSCURRENT`, AWS moves `AWSPREVIOUS` too. `label` moves to
    /// the version in the same call, from whichever version has it.
    ///
    /// # Errors
    /// Any answer but the two of [`Written`].
    pub async fn put(
        &self,
        at: Address<'_>,
        version: &VersionId,
        value: &Payload,
        stage: &str,
        label: Option<&str>,
    ) -> Result<Written, Failure> {
        const OPERATION: &str = "PutSecretValue";
        let request = self.client(at.region).put_secret_value().secret_id(at.id).client_request_token(version.as_str());
        let request = match value {
            Payload::Text(text) => request.secret_string(text.expose()),
            Payload::Binary(bytes) => request.secret_binary(Blob::new(bytes.expose())),
        };
        let request = match label {
            None if stage == CURRENT => request,
            None => request.version_stages(stage),
            // AWS moves AWSPREVIOUS too if AWSCURRENT is named.
            Some(label) => request.version_stages(stage).version_stages(label),
        };
        written(self.count(OPERATION, request.send().await))
    }

    /// Makes `to` current, if `from` still is: AWS's only compare-and-swap.
    ///
    /// # Errors
    /// Also when `from` is not current any more (class `Conflict`).
    pub async fn move_current(&self, at: Address<'_>, to: &VersionId, from: &VersionId) -> Result<(), Failure> {
        match self.move_label(at, CURRENT, Some(from), Some(to)).await? {
            Moved::Done => Ok(()),
            Moved::Refused => Err(Failure::conflict("AWSCURRENT moved in between; the operator looks again")),
        }
    }

    /// Moves a label to `to` (`None`: to no version), if it is on `from` (`None`: on none).
    ///
    /// # Errors
    /// Any answer but those of [`Moved`].
    pub async fn move_label(
        &self,
        at: Address<'_>,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<Moved, Failure> {
        let request = self
            .client(at.region)
            .update_secret_version_stage()
            .secret_id(at.id)
            .version_stage(label)
            .set_move_to_version_id(to.map(ToString::to_string))
            .set_remove_from_version_id(from.map(ToString::to_string));
        match self.count("UpdateSecretVersionStage", request.send().await) {
            Ok(_) => Ok(Moved::Done),
            Err(fault) => match fault.code.as_deref() {
                Some("InvalidParameterException" | "ResourceNotFoundException" | "LimitExceededException") => Ok(Moved::Refused),
                _ => Err(fault.into_failure()),
            },
        }
    }
}
