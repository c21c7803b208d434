//! How many connections the API has over TCP, and whose: a hall for whoever comes, and seats for those who have shown a token.
//!
//! The hall is for all, and nobody stays in it: where it is full, the guest who is settled first of the address that has most of them makes
//! room. So whoever fills it pushes himself out, and whoever asks at once, as a supervisor does, or an operator with a token, has an
//! answer before it is his turn to go. Who comes from another address than that waits for nobody; who comes from it waits in
//! `entrance.rs`. A seat is kept until its connection ends, or until somebody has it who goes before (`places.rs`). One address has only a
//! share of them, and of those who wait.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::{
    places::{Asker, Places},
    shares::{NoPlace, Shares, origin_of},
};
use crate::{config, metrics::Used};

/// A clone is the same one.
#[derive(Clone)]
pub struct Hall {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    /// Rung when somebody gives a seat back.
    freed: Notify,
    /// Rung when a guest has left the hall by himself.
    vacated: Notify,
}

struct Table {
    seats: Places<Served>,
    seats_max: usize,
    waiting: Shares,
    /// By the order in which they came.
    guests: BTreeMap<u64, Guest>,
    guests_ever: u64,
    /// Those who had to make room, or found none.
    dismissed: u64,
}

struct Guest {
    origin: IpAddr,
    /// From when on he may be sent away for others of his address.
    settled: Instant,
    served: Served,
}

/// Whatever serves a connection, as soon as that is known; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Served(Arc<OnceLock<AbortHandle>>);

/// Of somebody who waits in front of the hall, until he comes in or goes.
pub struct Turn {
    shared: Arc<Shared>,
    origin: IpAddr,
}

/// One connection, in the hall or on a seat; a clone is the same one.
#[derive(Clone)]
pub struct Stay {
    held: Arc<Held>,
}

struct Held {
    shared: Arc<Shared>,
    number: u64,
    origin: IpAddr,
    since: Instant,
    served: Served,
    /// It has had a seat, at least.
    may_stay: AtomicBool,
    has_seat: AtomicBool,
}

impl Served {
    /// For somebody else, who has its place.
    pub fn end(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

impl Hall {
    pub fn new(seats_max: u64, waiting_max: usize) -> Hall {
        let seats_max = usize::try_from(seats_max).unwrap_or(usize::MAX);
        let (seats, waiting) = (Places::default(), Shares::new(waiting_max));
        let table =
            Table { seats, seats_max, waiting, guests: BTreeMap::new(), guests_ever: 0, dismissed: 0 };
        let (freed, vacated) = (Notify::new(), Notify::new());
        Hall { shared: Arc::new(Shared { table: Mutex::new(table), freed, vacated }) }
    }

    /// Somebody comes. The error is when somebody will have been there for long enough to make room for him.
    pub fn try_enter(&self, ip: IpAddr) -> Result<Stay, Instant> {
        let (shared, origin, since) = (Arc::clone(&self.shared), origin_of(ip), Instant::now());
        let mut table = shared.lock();
        if let Some(dismissed) = table.make_room(origin)? {
            dismissed.end();
        }
        let served = Served::default();
        let number = table.admit(Guest { origin, settled: since + SETTLING, served: served.clone() });
        drop(table);
        let (may_stay, has_seat) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Stay { held: Arc::new(Held { shared, number, origin, since, served, may_stay, has_seat }) })
    }

    /// For somebody who cannot enter. None: he is sent away.
    pub fn try_wait(&self, ip: IpAddr) -> Option<Turn> {
        let (shared, origin) = (Arc::clone(&self.shared), origin_of(ip));
        let mut table = shared.lock();
        if table.waiting.take(origin).is_err() {
            table.waiting.note_refusal();
            return None;
        }
        drop(table);
        Some(Turn { shared, origin })
    }

    /// When a guest leaves from now on.
    pub fn vacated(&self) -> Notified<'_> {
        self.shared.vacated.notified()
    }

    /// In front of the hall, in it, and on seats.
    pub fn used(&self) -> [Used; 3] {
        let table = self.shared.lock();
        let (taken, most, refused) = (table.guests.len() as u64, GUESTS_MAX as u64, table.dismissed);
        let guests = Used { place: "guests", taken, most, refused };
        [table.waiting.used("waiting"), guests, table.seats.used("seats", table.seats_max)]
    }
}

impl Shared {
    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn admit(&mut self, guest: Guest) -> u64 {
        self.guests_ever += 1;
        self.guests.insert(self.guests_ever, guest);
        self.guests_ever
    }

    /// For one more from there, and who has to go for it. The error is when that one may be sent away: at once only for somebody whose address has
    /// fewer guests.
    fn make_room(&mut self, origin: IpAddr) -> Result<Option<Served>, Instant> {
        if self.guests.len() < GUESTS_MAX {
            return Ok(None);
        }
        let (settled, number, most) = self.first_of_most();
        let own = self.guests.values().filter(|guest| guest.origin == origin).count();
        if own + 1 >= most && Instant::now() < settled {
            return Err(settled);
        }
        self.dismissed += 1;
        Ok(self.guests.remove(&number).map(|guest| guest.served))
    }

    /// The guest who is settled first, of the address that has most of them: when, who, and how many these are.
    fn first_of_most(&self) -> (Instant, u64, usize) {
        let mut by_origin: HashMap<IpAddr, (usize, (Instant, u64))> = HashMap::new();
        for (number, guest) in &self.guests {
            let this = (guest.settled, *number);
            let (count, first) = by_origin.entry(guest.origin).or_insert((0, this));
            (*count, *first) = (*count + 1, this.min(*first));
        }
        let most = by_origin.into_values().max_by_key(|(count, first)| (*count, Reverse(*first)));
        let (count, (settled, number)) = most.expect("a full hall has guests");
        (settled, number, count)
    }

    /// From the hall to a seat, and who has to leave it for that.
    fn seat(&mut self, number: u64, asker: &Asker, served: &Served) -> Result<Option<Served>, NoPlace> {
        let going = self.seats.find_room(asker, self.seats_max, None, |_| true)?;
        let going = going.and_then(|number| self.seats.give_back(number));
        going.iter().for_each(|_| self.seats.note_refusal());
        self.seats.take(number, asker.clone(), served.clone());
        self.guests.remove(&number);
        Ok(going)
    }
}

impl Stay {
    /// Whoever has to go is ended by this.
    pub fn is_served_by(&self, task: AbortHandle) {
        self.held.served.0.set(task).expect("it is told once");
    }

    pub fn served(&self) -> Served {
        self.held.served.clone()
    }

    /// It has begun a handshake, whose next word takes as long as the way to it and back.
    pub fn shakes_hands(&self) {
        if let Some(guest) = self.held.shared.lock().guests.get_mut(&self.held.number) {
            guest.settled = self.held.since + HANDSHAKE;
        }
    }

    /// Its token is known. Where there is no seat, and nobody has to leave one, one is waited for.
    pub async fn take_seat(&self, asker: &Asker) -> Result<(), NoPlace> {
        if self.may_stay() {
            self.held.shared.lock().seats.note_question(self.held.number, asker);
            return Ok(());
        }
        let until = Instant::now() + SEAT_WAIT;
        loop {
            let freed = self.held.shared.freed.notified();
            match self.try_take_seat(asker) {
                Ok(()) => return Ok(()),
                Err(no_seat) if timeout_at(until, freed).await.is_err() => {
                    self.held.shared.lock().seats.note_refusal();
                    return Err(no_seat);
                }
                Err(_) => {}
            }
        }
    }

    fn try_take_seat(&self, asker: &Asker) -> Result<(), NoPlace> {
        let Held { shared, number, served, may_stay, has_seat, .. } = &*self.held;
        let going = shared.lock().seat(*number, asker, served)?;
        shared.vacated.notify_waiters();
        may_stay.store(true, Ordering::Relaxed);
        has_seat.store(true, Ordering::Relaxed);
        if let Some(going) = going {
            going.end();
        }
        Ok(())
    }

    /// For others. The connection goes on.
    pub fn leave_seat(&self) {
        self.held.leave_seat();
    }

    /// Whether it is no guest any more.
    pub fn may_stay(&self) -> bool {
        self.held.may_stay.load(Ordering::Relaxed)
    }

    /// The address, as those count that are one.
    pub fn origin(&self) -> IpAddr {
        self.held.origin
    }

    /// When a guest has been there for long enough.
    pub fn closing_time(&self) -> Instant {
        self.held.since + STAY_MAX
    }
}

impl Held {
    fn leave_seat(&self) {
        if self.has_seat.swap(false, Ordering::Relaxed) {
            self.shared.lock().seats.give_back(self.number);
            self.shared.freed.notify_waiters();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let left = self.shared.lock().guests.remove(&self.number);
        if left.is_some() {
            self.shared.vacated.notify_waiters();
        }
        self.leave_seat();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.lock().waiting.give_back(self.origin);
    }
}

/// Whoever could have a place may wait for it, so that a burst of those who have tokens is heard.
pub fn waiting_max(settings: &config::Api) -> usize {
    let places = settings.max_connections.saturating_add(settings.max_streams);
    usize::try_from(places).unwrap_or(usize::MAX).clamp(WAITING_MIN, WAITING_MAX)
}

/// Why there is no seat.
pub fn sentence(no_seat: NoPlace) -> &'static str {
    match no_seat {
        NoPlace::OfAll => {
            "as many connections as may be are in use, none of them of a lower role: end some, or raise api.max_connections"
        }
        NoPlace::OfAddress => {
            "this address has as many connections as one may have, three quarters of all: end some, or raise \
             api.max_connections"
        }
    }
}

/// Beside those who have seats.
pub const GUESTS_MAX: usize = 64;

pub const WAITING_MIN: usize = 128;
const WAITING_MAX: usize = 2048;

/// What comes at once has at least so long to be read.
pub const SETTLING: Duration = Duration::from_millis(100);

/// Who has begun one has at least so long until he can show a token: the way round the world and back.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// A guest may ask again and again for so long, and then comes anew.
const STAY_MAX: Duration = Duration::from_secs(10);

/// Seats are given back at any time.
const SEAT_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, time::sleep_until};

    use super::{
        super::{guard::Caller, token_list::Role},
        *,
    };

    fn asker(ip: IpAddr, token: &str, role: Role) -> Asker {
        Asker::new(
            &Caller { token: Some(token.into()), role: Some(role), ..Caller::default() },
            Some(origin_of(ip)),
        )
    }

    fn viewer(ip: IpAddr) -> Asker {
        asker(ip, "eye", Role::Viewer)
    }

    fn run(work: impl Future<Output = ()>) {
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(work);
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// As somebody who waits until he is let in.
    async fn enter(hall: &Hall, ip: IpAddr) -> Stay {
        loop {
            match hall.try_enter(ip) {
                Ok(stay) => return stay,
                Err(settled) => sleep_until(settled).await,
            }
        }
    }

    fn guests(hall: &Hall) -> Vec<IpAddr> {
        hall.shared.lock().guests.values().map(|guest| guest.origin).collect()
    }

    #[test]
    fn who_fills_the_hall_makes_room_for_others_and_for_itself() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let other = enter(&hall, ip(2)).await;
            let mut stays = Vec::new();
            for _ in 0..2 * GUESTS_MAX {
                stays.push(enter(&hall, ip(1)).await);
            }
            let late = enter(&hall, ip(3)).await;
            let guests = guests(&hall);
            let of = |last: u8| guests.iter().filter(|origin| **origin == ip(last)).count();
            assert_eq!((guests.len(), of(1), of(2), of(3)), (GUESTS_MAX, GUESTS_MAX - 2, 1, 1));
            assert_eq!(hall.used()[1].refused, GUESTS_MAX as u64 + 2);
            drop((other, late, stays));
            assert_eq!(hall.shared.lock().guests.len(), 0);
        });
    }

    #[test]
    fn who_comes_from_elsewhere_does_not_wait_for_those_who_have_just_come() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let mut stays = Vec::new();
            for _ in 0..GUESTS_MAX {
                stays.push(hall.try_enter(ip(1)).expect("there is room"));
            }
            let settled = hall.try_enter(ip(1)).err().expect("its address has most guests");
            assert_eq!(settled, stays[0].held.since + SETTLING);
            for other in 2..=u8::try_from(GUESTS_MAX).expect("few") / 2 {
                stays.push(hall.try_enter(ip(other)).expect("its address has no guests"));
            }
            // Up to the point at which nobody has more guests than another would have.
            while guests(&hall).iter().filter(|origin| **origin == ip(1)).count() > 2 {
                let next = ip(u8::try_from(stays.len()).expect("few") + 1);
                stays.push(hall.try_enter(next).expect("its address has no guests"));
            }
            assert!(hall.try_enter(guests(&hall)[0]).is_err());
        });
    }

    #[test]
    fn an_address_has_a_share_of_those_who_wait() {
        let hall = Hall::new(4, 4);
        let of_one: Vec<Turn> = (0..3).map(|_| hall.try_wait(ip(1)).expect("its share")).collect();
        assert!(hall.try_wait(ip(1)).is_none());
        let of_other = hall.try_wait(ip(2)).expect("there is one for others");
        let [waiting, ..] = hall.used();
        assert_eq!((waiting.taken, waiting.most, waiting.refused), (4, 4, 1));
        drop((of_one, of_other));
        assert!(hall.shared.lock().waiting.is_empty());
    }

    #[test]
    fn as_many_wait_as_could_have_places_and_not_without_end() {
        let of = |max_connections, max_streams| {
            waiting_max(&config::Api { max_connections, max_streams, ..config::Api::default() })
        };
        assert_eq!([of(1, 0), of(64, 1336), of(10_000, 10_000)], [WAITING_MIN, 1400, WAITING_MAX]);
    }

    #[test]
    fn who_shakes_hands_has_longer_than_who_says_nothing() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let far = enter(&hall, ip(1)).await;
            far.shakes_hands();
            let silent: Vec<Stay> = (1..GUESTS_MAX).map(|_| hall.try_enter(ip(1)).expect("room")).collect();
            let mut late = Vec::new();
            for _ in &silent {
                late.push(enter(&hall, ip(1)).await);
            }
            assert!(hall.shared.lock().guests.contains_key(&far.held.number), "all others have gone");
            sleep_until(far.held.since + HANDSHAKE).await;
            late.push(enter(&hall, ip(1)).await);
            late.extend(
                (1..GUESTS_MAX).map(|_| hall.try_enter(ip(1)).expect("they have been there for long")),
            );
            assert!(!hall.shared.lock().guests.contains_key(&far.held.number));
        });
    }

    #[test]
    fn who_is_sent_away_is_not_served_any_more() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let first = enter(&hall, ip(1)).await;
            let task = tokio::spawn(std::future::pending::<()>());
            first.is_served_by(task.abort_handle());
            let mut stays = Vec::new();
            for _ in 0..GUESTS_MAX {
                stays.push(enter(&hall, ip(1)).await);
            }
            assert!(task.await.expect_err("ended").is_cancelled());
        });
    }

    #[test]
    fn an_address_has_a_share_of_the_seats_and_the_hall_none_of_them() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let seat = async |ip| {
                let stay = enter(&hall, ip).await;
                stay.try_take_seat(&viewer(ip)).map(|()| stay)
            };
            let mut seated = Vec::new();
            for _ in 0..3 {
                seated.push(seat(ip(1)).await.expect("a seat"));
            }
            assert_eq!(seat(ip(1)).await.err(), Some(NoPlace::OfAddress));
            seated.push(seat(ip(2)).await.expect("a seat"));
            assert_eq!(seat(ip(3)).await.err(), Some(NoPlace::OfAll));
            assert!(guests(&hall).is_empty());
            drop(seated.swap_remove(0));
            seated.push(seat(ip(3)).await.expect("a seat"));
            // A stream goes on without one.
            seated[0].leave_seat();
            assert!(seated[0].may_stay() && seat(ip(1)).await.is_ok());
            drop(seated);
            assert_eq!(hall.used()[2].taken, 0);
        });
    }

    #[test]
    fn a_higher_role_has_the_seat_of_a_lower_one_at_once_and_its_connection_ends() {
        run(async {
            let hall = Hall::new(4, WAITING_MIN);
            let mut seated = Vec::new();
            for _ in 0..3 {
                let stay = enter(&hall, ip(1)).await;
                let task = tokio::spawn(std::future::pending::<()>());
                stay.is_served_by(task.abort_handle());
                stay.take_seat(&viewer(ip(1))).await.expect("a seat");
                seated.push((stay, task));
            }
            let (admin, begun) = (enter(&hall, ip(1)).await, Instant::now());
            assert_eq!(admin.take_seat(&asker(ip(1), "boss", Role::Admin)).await, Ok(()));
            assert_eq!(begun.elapsed(), Duration::ZERO);
            let (displaced, task) = seated.remove(0);
            assert!(task.await.expect_err("ended").is_cancelled());
            drop(displaced);
            assert_eq!(hall.used()[2].taken, 3, "its seat is that of another one");
            assert!(seated.iter().all(|(_, task)| !task.is_finished()));
            let late = enter(&hall, ip(1)).await;
            assert_eq!(late.take_seat(&viewer(ip(1))).await, Err(NoPlace::OfAddress));
        });
    }

    #[test]
    fn a_seat_that_is_given_back_goes_to_whoever_waits_for_it() {
        run(async {
            let hall = Hall::new(1, WAITING_MIN);
            let (one, other) = (enter(&hall, ip(1)).await, enter(&hall, ip(1)).await);
            assert_eq!(one.take_seat(&viewer(ip(1))).await, Ok(()));
            assert_eq!(one.take_seat(&viewer(ip(1))).await, Ok(()), "it has one");
            let waits = tokio::spawn({
                let other = other.clone();
                async move { other.take_seat(&viewer(ip(1))).await }
            });
            tokio::task::yield_now().await;
            assert!(!waits.is_finished());
            drop(one);
            assert_eq!(waits.await.expect("no panic"), Ok(()));
            let third = enter(&hall, ip(2)).await;
            assert_eq!(third.take_seat(&viewer(ip(2))).await, Err(NoPlace::OfAll));
            assert!(other.may_stay() && !third.may_stay());
            let [_, _, seats] = hall.used();
            assert_eq!((seats.taken, seats.most, seats.refused), (1, 1, 1));
        });
    }
}
