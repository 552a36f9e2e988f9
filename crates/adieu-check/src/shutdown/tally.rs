//! Counts what the clients of one shutdown saw, and judges it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::crowd::{Kind, Seen};
use crate::peer::TcpEnd;
use crate::process::Exit;
use crate::report::{About, Figures, Finding, Verdict, time};

/// The codes that a server may say when it stops (RFC 6455 §7.4.1, IANA registry).
const STOPPING: [u16; 2] = [1001, 1012];

/// What the server did, and how fast, counted from the signal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    pub(super) exit: Option<Exit>,
    /// Until the last client had read its Close.
    last_close: Option<Duration>,
    /// Until the last client had read the FIN.
    last_fin: Option<Duration>,
    /// Processor time until the exit.
    cpu: Option<Duration>,
}

impl Course {
    /// `cpu` is what the server had used before the signal.
    pub(super) fn new(
        seen: &[Seen],
        signalled: Instant,
        exit: Option<Exit>,
        cpu: Option<Duration>,
    ) -> Self {
        let after = |it: Option<Instant>| it.map(|it| it.saturating_duration_since(signalled));
        let used = exit.and_then(|exit| exit.cpu).zip(cpu);
        Course {
            exit,
            last_close: after(seen.iter().filter_map(|it| it.ended.close_read()).max()),
            last_fin: after(seen.iter().filter_map(|it| it.ended.fin_read()).max()),
            cpu: used.map(|(after, before)| after.saturating_sub(before)),
        }
    }

    fn cpu_us_per_client(self, clients: usize) -> Option<f64> {
        let each = self.cpu?.as_secs_f64() * 1e6 / clients.max(1) as f64;
        Some((each * 10.0).round() / 10.0)
    }
}

/// What became of the live clients; the frozen ones only lengthen the exit.
#[derive(Debug, Default)]
pub(super) struct Tally {
    live: usize,
    frozen: usize,
    /// The right code, then FIN and no RST.
    clean: usize,
    /// Another code, otherwise clean.
    other_code: usize,
    close_then_reset: usize,
    /// The Close, a FIN, and an RST for the client's answer, which nobody waited for.
    fin_then_reset: usize,
    fin_only: usize,
    reset_only: usize,
    connected: usize,
    codes: BTreeMap<String, usize>,
    batches: usize,
    unanswered_batch: usize,
    unanswered_pings: usize,
    readers: usize,
    delivered: usize,
    /// Clients that read a Close, whatever came of them then.
    read_close: usize,
    /// Clients that met an RST at any time.
    resets: usize,
}

impl Tally {
    pub(super) fn new(seen: &[Seen], frozen: usize, queued: usize, code: u16) -> Self {
        let mut tally = Tally { live: seen.len(), frozen, ..Tally::default() };
        for it in seen {
            tally.ending(it, code);
            match it.kind {
                Kind::Batch => {
                    tally.batches += 1;
                    tally.unanswered_batch += it.unanswered;
                }
                Kind::PingPong => tally.unanswered_pings += it.unanswered,
                Kind::Slow => {
                    tally.readers += 1;
                    tally.delivered += usize::from(it.bytes == queued);
                }
                Kind::Idle | Kind::Frozen => {}
            }
        }
        tally
    }

    fn ending(&mut self, it: &Seen, code: u16) {
        let stopping =
            |said: Option<u16>| said.is_some_and(|said| said == code || STOPPING.contains(&said));
        match (it.ended.close, it.ended.end, it.ended.reset) {
            (Some(_), None, _) | (None, None, _) => self.connected += 1,
            (Some(said), Some(TcpEnd::Fin), false) if stopping(said) => self.clean += 1,
            (Some(_), Some(TcpEnd::Fin), false) => self.other_code += 1,
            (Some(_), Some(TcpEnd::Fin), true) => self.fin_then_reset += 1,
            (Some(_), Some(TcpEnd::Reset), _) => self.close_then_reset += 1,
            (None, Some(TcpEnd::Fin), _) => self.fin_only += 1,
            (None, Some(TcpEnd::Reset), _) => self.reset_only += 1,
        }
        self.resets += usize::from(it.ended.reset);
        if let Some(said) = it.ended.close {
            self.read_close += 1;
            let said = said.map_or_else(|| "none".to_owned(), |code| code.to_string());
            *self.codes.entry(said).or_default() += 1;
        }
    }

    fn verdict(&self, exit: Option<Duration>, enough: Option<Duration>) -> Verdict {
        let told = self.live - self.fin_only - self.reset_only - self.connected;
        let kept = self.unanswered_batch + self.unanswered_pings == 0;
        if told < self.live || !kept || self.delivered < self.readers || exit.is_none() {
            return Verdict::Bad;
        }
        let prompt = enough.is_none_or(|enough| exit.is_some_and(|exit| exit < enough));
        Verdict::Weak.unless(self.clean == self.live && prompt)
    }

    fn summary(&self, exit: Option<Duration>) -> String {
        let mut words = vec![format!("{} of {} clean", self.clean, self.live)];
        let others = [
            (self.other_code, "another code"),
            (self.close_then_reset, "Close then RST"),
            (self.fin_then_reset, "Close and FIN, then RST"),
            (self.fin_only, "FIN only"),
            (self.reset_only, "RST only"),
            (self.connected, "still connected"),
        ];
        words.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        let unanswered = self.unanswered_batch + self.unanswered_pings;
        if self.batches > 0 {
            words.push(format!("{unanswered} messages unanswered"));
        }
        if self.readers > 0 {
            words.push(format!("{} of {} queues delivered", self.delivered, self.readers));
        }
        words.push(match exit {
            Some(exit) => format!("exit after {}", time(exit)),
            None => "no exit".to_owned(),
        });
        words.join(", ")
    }

    pub(super) fn finding(
        &self,
        about: About,
        course: Course,
        enough: Option<Duration>,
    ) -> Finding {
        let exit = course.exit;
        let after = exit.map(|exit| exit.after);
        let seconds = |it: Duration| (it.as_secs_f64() * 100.0).round() / 100.0;
        let figures = Figures::default()
            .with("clients", self.live)
            .with("frozen", self.frozen)
            .with("clean", self.clean)
            .with("other_code", self.other_code)
            .with("close_then_reset", self.close_then_reset)
            .with("fin_then_reset", self.fin_then_reset)
            .with("fin_only", self.fin_only)
            .with("reset_only", self.reset_only)
            .with("still_connected", self.connected)
            .with("read_close", self.read_close)
            .with("resets", self.resets)
            .with("codes", json!(self.codes))
            .with("unanswered_batch", self.unanswered_batch)
            .with("unanswered_pings", self.unanswered_pings)
            .with("queues", self.readers)
            .with("queues_delivered", self.delivered)
            .with_ms("last_close_ms", course.last_close)
            .with_ms("last_fin_ms", course.last_fin)
            .with("cpu_us_per_client", course.cpu_us_per_client(self.live + self.frozen))
            .with("exit_seconds", after.map(seconds))
            .with("exit_code", exit.and_then(|exit| exit.status?.code()));
        about.found(self.verdict(after, enough), self.summary(after), figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Ended;

    fn seen(kind: Kind, close: Option<Option<u16>>, end: Option<TcpEnd>, reset: bool) -> Seen {
        let ended = Ended { close, end, reset, ..Ended::default() };
        Seen { kind, ended, unanswered: 0, bytes: 10 }
    }

    #[test]
    fn every_ending_is_counted_once() {
        let fin = Some(TcpEnd::Fin);
        let all = [
            seen(Kind::Idle, Some(Some(1001)), fin, false),
            seen(Kind::Idle, Some(Some(1012)), fin, false),
            seen(Kind::Idle, Some(Some(1000)), fin, false),
            seen(Kind::Idle, Some(None), fin, true),
            seen(Kind::Idle, Some(Some(1001)), Some(TcpEnd::Reset), true),
            seen(Kind::Idle, None, fin, false),
            seen(Kind::Idle, None, Some(TcpEnd::Reset), true),
            seen(Kind::Idle, None, None, false),
            seen(Kind::Idle, Some(Some(1001)), None, false),
        ];
        let tally = Tally::new(&all, 0, 10, 1001);
        let counts = [
            tally.clean,
            tally.other_code,
            tally.close_then_reset,
            tally.fin_then_reset,
            tally.fin_only,
            tally.reset_only,
            tally.connected,
        ];
        assert_eq!(counts, [2, 1, 1, 1, 1, 1, 2]);
        assert_eq!(counts.iter().sum::<usize>(), tally.live);
        assert_eq!((tally.read_close, tally.resets), (6, 3));
    }

    #[tokio::test]
    async fn the_last_client_and_the_time_since_the_signal_count() {
        let ms = Duration::from_millis;
        let signalled = Instant::now();
        let at = |close: Option<Option<u16>>, end, started, waited| {
            let mut it = seen(Kind::Idle, close, end, false);
            it.ended.started = Some(signalled + ms(started));
            it.ended.waited = ms(waited);
            it
        };
        let all = [
            at(Some(Some(1001)), Some(TcpEnd::Fin), 30, 40),
            at(Some(Some(1001)), None, 50, 900),
            at(None, Some(TcpEnd::Fin), 60, 5),
        ];
        let exit = Exit { after: ms(80), status: None, cpu: Some(ms(105)) };
        let course = Course::new(&all, signalled, Some(exit), Some(ms(100)));
        assert_eq!((course.last_close, course.last_fin), (Some(ms(50)), Some(ms(70))));
        assert_eq!(course.cpu_us_per_client(2), Some(2500.0));
        let unknown = Course::new(&all, signalled, None, Some(ms(100)));
        assert_eq!(unknown.cpu_us_per_client(2), None);
    }

    #[test]
    fn a_lost_message_a_lost_queue_and_a_hanging_exit_are_bad_and_a_slow_one_is_weak() {
        let clean = |kind| seen(kind, Some(Some(1001)), Some(TcpEnd::Fin), false);
        let judge = |one: Seen, queued, exit: Option<u64>| {
            let exit = exit.map(Duration::from_secs);
            Tally::new(&[one], 0, queued, 1001).verdict(exit, Some(Duration::from_secs(4)))
        };
        assert_eq!(judge(clean(Kind::Slow), 10, Some(1)), Verdict::Ok);
        assert_eq!(judge(clean(Kind::Slow), 11, Some(1)), Verdict::Bad);
        assert_eq!(judge(clean(Kind::Slow), 10, Some(4)), Verdict::Weak);
        assert_eq!(judge(clean(Kind::Slow), 10, None), Verdict::Bad);
        let lost = Seen { unanswered: 1, ..clean(Kind::Batch) };
        assert_eq!(judge(lost, 10, Some(1)), Verdict::Bad);
    }
}
