//! The client's side of MQTT: a pure state machine and a blocking driver.
