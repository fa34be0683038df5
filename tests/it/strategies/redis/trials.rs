//! A trial of a rotation changes nothing, and says what the rotation after it does.

use anyhow::Result;
use rotated_secrets::strategy::Refused;
use rotated_secrets::strategy::redis::TwoPasswords;

use super::stand::{NEW, OLD, RIGHTS, Stand, refused, version};

#[tokio::test]
async fn what_keeps_a_redis_administrator_from_a_rotation_is_said_by_a_trial() -> Result<()> {
    let stand = Stand::new("tried")?;
    let [old, new] = [OLD, NEW].map(|password| stand.with(password));
    let before = stand.shown()?;
    assert_eq!(stand.strategy().try_rotation(&old).await, Ok(()));
    assert_eq!(stand.strategy().try_rotation(&new).await, refused(Refused::PasswordRefused));
    let admin = stand.admin.user.clone();
    for right in ["acl|setuser", "acl|getuser"] {
        stand.redis.command(&["ACL", "SETUSER", &admin, &format!("-{right}")])?;
        let tried = stand.strategy().try_rotation(&old).await;
        assert_eq!(tried, refused(Refused::AdminNotPermitted), "{right}");
        assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await.map(drop), tried, "{right}");
        stand.redis.command(&["ACL", "SETUSER", &admin, &format!("+{right}")])?;
    }
    let itself = TwoPasswords { server: &stand.server, admin: None };
    assert_eq!(itself.try_rotation(&old).await, refused(Refused::NotPermitted));
    assert_eq!(stand.shown()?, before, "the user is as it was");
    stand.set(&RIGHTS)?;
    assert_eq!(itself.try_rotation(&old).await, Ok(()));
    Ok(())
}
