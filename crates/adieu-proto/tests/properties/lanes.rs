//! What leaves, whatever the order in which our side sends, the peer pings and the transport takes:
//! whole frames, messages in order, control frames at the next frame boundary, nothing behind our
//! Close.

use adieu_proto::{
    Cause, Close, CloseRequest, Command, Config, Message, Prepared, TransportEvent, defaults,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::driver::{Driver, open};
use crate::frames::{Found, frame, parse};
use crate::generate::{config, message};

#[derive(Clone, Debug)]
enum Step {
    Send(Message),
    SendPrepared(Message),
    Ping,
    /// The transport takes so many bytes at most.
    Take(usize),
    Flush,
    Blocked,
    Close,
    PeerClose,
    EndSeen,
    /// The next clock runs out, while messages may be sent.
    Clock,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = prop_oneof![8 => 1..20usize, 2 => 1..1000usize, 1 => 1..400_000usize];
    let step = prop_oneof![
        6 => message().prop_map(Step::Send),
        2 => message().prop_map(Step::SendPrepared),
        8 => Just(Step::Ping),
        12 => n.prop_map(Step::Take),
        3 => Just(Step::Flush),
        3 => Just(Step::Blocked),
        1 => Just(Step::Close),
        1 => Just(Step::PeerClose),
        1 => Just(Step::EndSeen),
        1 => Just(Step::Clock),
    ];
    vec(step, 0..60)
}

/// One end of a connection, and what its wire should show.
struct Trial {
    driver: Driver,
    mask: Option<[u8; 4]>,
    wire: Vec<u8>,
    sent: Vec<Message>,
    /// How much had left when each Ping came that is to be answered or replaced by a newer one.
    pings: Vec<usize>,
    peer_closed: bool,
}

impl Trial {
    fn new(is_server: bool, holds: bool) -> Self {
        let mut driver = open(is_server, Config::default());
        driver.holds = holds;
        let mask = is_server.then_some([9, 8, 7, 6]);
        let (wire, sent, pings) = (Vec::new(), Vec::new(), Vec::new());
        Trial { driver, mask, wire, sent, pings, peer_closed: false }
    }

    fn does(&mut self, step: &Step) {
        let driver = &mut self.driver;
        match step {
            Step::Send(message) => {
                if driver.connection.send(message, &mut driver.scratch).is_ok() {
                    self.sent.push(message.clone());
                }
            }
            Step::SendPrepared(message) => {
                let prepared = Prepared::new(message.clone());
                if driver.connection.send(&prepared, &mut driver.scratch).is_ok() {
                    self.sent.push(message.clone());
                }
            }
            Step::Ping => self.ping(),
            Step::Take(n) => self.wire.extend(driver.take(*n)),
            Step::Flush => driver.flush(),
            Step::Blocked => driver.tell(TransportEvent::Blocked),
            Step::Close => {
                let close = Close::new(1000, "done").expect("a good Close");
                let request = CloseRequest::of(Cause::Application, close);
                self.command(Command::Close(request));
            }
            Step::PeerClose if self.peer_closed => {}
            Step::PeerClose => {
                self.peer_closed = true;
                driver.receive_all(&frame(0x88, &[0x03, 0xE8], self.mask));
            }
            Step::EndSeen => self.command(Command::EndSeen),
            // Once it is closing, a clock may let go of what waits.
            Step::Clock if driver.connection.status().may_send() => {
                if let Some(at) = driver.connection.status().timeout() {
                    driver.pass_to(at);
                }
            }
            Step::Clock => {}
        }
        self.driver.next_event();
    }

    fn command(&mut self, command: Command) {
        self.driver.connection.command(self.driver.now, command, &mut self.driver.scratch);
    }

    /// A Ping whose payload is its number.
    fn ping(&mut self) {
        if !self.peer_closed {
            let number = self.pings.len() as u16;
            self.pings.push(self.wire.len());
            self.driver.receive_all(&frame(0x89, &number.to_be_bytes(), self.mask));
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let found = parse(&self.wire, self.mask.is_none()).map_err(TestCaseError::fail)?;
        let close = found.iter().find(|frame| frame.first == 0x88).map(|frame| frame.at);
        if let Some(at) = close {
            prop_assert_eq!(found.last().map(|frame| frame.at), Some(at), "behind our Close");
        }
        let data = found.iter().filter(|frame| matches!(frame.first, 0x81 | 0x82));
        let got: Vec<_> = data.map(|f| (f.first == 0x81, f.payload.as_slice())).collect();
        let want: Vec<_> =
            self.sent.iter().map(|m| (m.as_text().is_some(), m.as_bytes())).collect();
        prop_assert!(got == want, "{} messages of {}, in order", got.len(), want.len());
        self.check_pongs(&found, close)
    }

    fn check_pongs(&self, found: &[Found], close: Option<usize>) -> Result<(), TestCaseError> {
        let pongs: Vec<&Found> = found.iter().filter(|frame| frame.first == 0x8A).collect();
        let numbers: Vec<usize> = pongs
            .iter()
            .map(|pong| usize::from(u16::from_be_bytes([pong.payload[0], pong.payload[1]])))
            .collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?} in order, each once");
        for (pong, number) in pongs.iter().zip(&numbers) {
            // §5.5.2: no frame of data begins between the Ping and its Pong.
            let asked = self.pings[*number];
            let passed = found.iter().find(|frame| {
                let data = matches!(frame.first, 0x81 | 0x82 | 0x88);
                data && (asked..pong.at).contains(&frame.at)
            });
            prop_assert!(passed.is_none(), "a Pong behind {passed:?}");
        }
        // §5.5.3: the newest Ping is answered, if our Close had not begun to leave when it came.
        let in_time = |asked: &usize| close.is_none_or(|at| *asked <= at);
        let newest = self.pings.iter().rposition(in_time);
        prop_assert_eq!(numbers.last().copied(), newest);
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_leaves_is_whole_frames_in_order(steps in steps(), is_server: bool, holds: bool) {
        let mut trial = Trial::new(is_server, holds);
        for step in &steps {
            trial.does(step);
        }
        let rest = trial.driver.drain(usize::MAX);
        trial.wire.extend(rest);
        prop_assert_eq!(trial.driver.connection.status().queued(), 0);
        trial.check()?;
    }

    #[test]
    fn a_flood_of_pings_costs_nothing(
        payloads in vec(vec(any::<u8>(), 0..=125), 1..20),
        rounds in 1..400usize,
        to_server: bool,
    ) {
        let mut driver = open(to_server, Config::default());
        let mask = to_server.then_some([9, 8, 7, 6]);
        let most = defaults::PONG_QUEUE as u64 + 2 + 4 + 125;
        for payload in std::iter::repeat_n(&payloads, rounds).flatten() {
            driver.receive_all(&frame(0x89, payload, mask));
            prop_assert!(driver.connection.status().queued() <= most);
        }
        driver.next_event();
        prop_assert!(driver.events.is_empty() && driver.messages.is_empty());
        // §5.5.3: of many Pings at least the newest is answered.
        let pongs = parse(&driver.drain(usize::MAX), !to_server).map_err(TestCaseError::fail)?;
        prop_assert_eq!(pongs.last().map(|pong| &pong.payload), payloads.last());
        prop_assert!(pongs.iter().all(|pong| pong.first == 0x8A));
    }
}
