//! Doors that come and go while the broker runs.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::atomic::Ordering::SeqCst,
};

use super::client::{address, ask, await_that, config, connect_to, echoing, start};
use crate::{Broker, Config, Door, Hung, Place, Renewal, StartError};

fn any() -> Place {
    Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn there(from: u16, place: Place) -> Option<Hung> {
    Some(Hung::There { from, door: Door::plain(place) })
}

fn added(place: Place) -> Option<Hung> {
    Some(Hung::Added(Door::plain(place)))
}

pub fn try_renew(broker: &Broker, doors: Vec<Option<Hung>>) -> Result<(), StartError> {
    let Config { max_connections, linger, core, .. } = config(1);
    let prepared = broker.prepare(Renewal { doors, max_connections, linger, core })?;
    prepared.listen()?;
    broker.renew(prepared);
    Ok(())
}

fn port_of(place: &Place) -> SocketAddr {
    let Place::Tcp(address) = place else { panic!("{place} has no port") };
    *address
}

#[test]
fn a_door_is_added_on_every_shard_and_taken_away_without_its_connections() {
    let (broker, _) = start(config(3));
    let first = address(&broker);
    let mut old = echoing(&broker);
    try_renew(&broker, vec![there(0, any()), added(any())]).unwrap();
    let second = port_of(&broker.places()[1]);
    assert_ne!(first, second);
    let mut streams: Vec<TcpStream> = (0..30).map(|_| connect_to(second)).collect();
    streams.iter_mut().for_each(|stream| assert_eq!(ask(stream, b"E", 1), b"E"));

    try_renew(&broker, vec![None, there(1, any())]).unwrap();
    await_that("the port is closed", || TcpStream::connect(first).is_err());
    assert_eq!(ask(&mut old, b"still", 5), b"still");
    assert_eq!(port_of(&broker.places()[0]), second);
    streams.iter_mut().for_each(|stream| assert_eq!(ask(stream, b"on", 2), b"on"));

    // The place that was given up can be taken again.
    try_renew(&broker, vec![None, there(1, any()), added(Place::Tcp(first))]).unwrap();
    assert_eq!(ask(&mut connect_to(first), b"E", 1), b"E");
}

#[test]
fn a_place_that_cannot_be_had_changes_nothing() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Place::Tcp(other.local_addr().unwrap());
    let folder = std::env::temp_dir().join(format!("iothub-renewal-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("mqtt.sock");
    let (broker, _) = start(config(2));
    let socket = Place::Unix { path: path.clone(), mode: 0o600 };
    let error =
        try_renew(&broker, vec![None, added(any()), added(socket.clone()), added(taken)]).unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");
    assert!(!path.exists(), "what was bound before is given up");
    drop(echoing(&broker));
    assert_eq!(broker.places().len(), 1);

    // What is prepared and not carried out leaves nothing behind either.
    let Config { max_connections, linger, core, .. } = config(1);
    let doors = vec![None, added(socket)];
    drop(broker.prepare(Renewal { doors, max_connections, linger, core }).unwrap());
    assert!(!path.exists());
    drop(echoing(&broker));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_socket_in_the_file_system_comes_changes_its_mode_and_goes() {
    let folder = std::env::temp_dir().join(format!("iothub-renewal-unix-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("mqtt.sock");
    let at = |mode: u32| Place::Unix { path: path.clone(), mode };
    let (broker, _) = start(config(2));
    try_renew(&broker, vec![there(0, any()), added(at(0o600))]).unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"E").unwrap();
    try_renew(&broker, vec![there(0, any()), there(1, at(0o660))]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    try_renew(&broker, vec![there(0, any()), None]).unwrap();
    assert!(!path.exists());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_wider_address_takes_the_place_of_a_narrower_one_with_the_same_port() {
    let (broker, _) = start(config(2));
    let narrow = address(&broker);
    let mut old = echoing(&broker);
    let wide = SocketAddr::from(([0, 0, 0, 0], narrow.port()));
    try_renew(&broker, vec![None, added(Place::Tcp(wide))]).unwrap();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let address = SocketAddr::new(host.parse().unwrap(), narrow.port());
        // The kernel resets who comes in the very moment in which the narrower one is closed.
        await_that("the wider one serves", || {
            let served = TcpStream::connect(address).and_then(|mut stream| {
                stream.write_all(b"E")?;
                stream.read_exact(&mut [0])
            });
            served.is_ok()
        });
    }
    assert_eq!(ask(&mut old, b"x", 1), b"x");
}

#[test]
fn a_smaller_number_of_seats_counts_those_that_are_taken() {
    let (broker, observed) = start(config(1));
    let streams: Vec<TcpStream> = (0..5).map(|_| echoing(&broker)).collect();
    let door = Door { connections_max: 3, ..Door::plain(any()) };
    try_renew(&broker, vec![Some(Hung::There { from: 0, door: door.clone() })]).unwrap();
    await_that("the next is refused", || {
        drop(echoing(&broker));
        observed.refused.load(SeqCst) > 0
    });
    drop(streams);
    let before = observed.refused.load(SeqCst);
    await_that("the seats are given back", || broker.connections() == 0);
    drop(echoing(&broker));
    assert_eq!(observed.refused.load(SeqCst), before);
}

#[test]
fn everybody_who_connects_while_doors_come_and_go_is_served_by_the_one_that_stays() {
    let (broker, _) = start(config(2));
    let stays = address(&broker);
    std::thread::scope(|scope| {
        let clients = scope.spawn(move || {
            for _ in 0..500 {
                assert_eq!(ask(&mut connect_to(stays), b"E", 1), b"E");
            }
        });
        while !clients.is_finished() {
            try_renew(&broker, vec![there(0, any()), added(any())]).unwrap();
            try_renew(&broker, vec![there(0, any()), None]).unwrap();
        }
        clients.join().unwrap();
    });
}
