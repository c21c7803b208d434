//! Permissions as users meet them: `iothub acl check`, and the same ACL files in mosquitto.
#![allow(clippy::unwrap_used)]

mod beside_mosquitto;
mod check;
