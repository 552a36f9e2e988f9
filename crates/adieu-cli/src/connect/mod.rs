//! `adieu connect`: a terminal, or a script, as a WebSocket client. Lines go in, messages come out,
//! and at the end it says how it ended.

mod client;
mod exit;
mod goodbye;
mod input;
mod json;
mod messages;
mod options;
mod report;
mod resolve;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adieu::{CloseCode, Ending, Message, Socket};
use tokio::sync::mpsc;

use crate::say;
use crate::signals::Signals;
use exit::Exit;
use goodbye::Goodbye;
use messages::Messages;
pub(crate) use options::Connect;
use report::Report;

/// How long an output that nobody reads is kept when a signal has ended the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until either side ends. Gives the exit code of how that was.
pub(crate) async fn run(options: &Connect) -> ExitCode {
    let report = Report::new(&options.output);
    // Heard from now on: none falls between being connected and being listened to.
    let mut signals = Signals::new();
    let opened = tokio::select! {
        biased;
        opened = client::open(options) => opened,
        () = signals.stop() => end_at_once("before it was connected"),
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(failure) => {
            report.failed(&failure);
            return failure.exit.into();
        }
    };
    report.opened(&socket, options);
    let goodbye = Arc::new(Goodbye::default());
    tokio::spawn(leave(signals, goodbye.clone()));
    if !options.output.no_input {
        tokio::spawn(input::send(socket.sender(), options.output.binary, goodbye.clone()));
    }
    let (ending, all) = listen(socket, &goodbye, Messages::new(&options.output)).await;
    let problem = goodbye.problem();
    let exit = if problem.is_some() { Exit::Usage } else { Exit::of_ending(&ending) };
    // FAQ: connect-unread
    let problem = problem.or((!all).then_some("nobody has read the last messages: they are lost"));
    report.ended(&ending, exit, problem);
    exit.into()
}

/// Writes messages until the connection is over and all is written. Where a signal asked for the
/// end, an output that nobody reads for [`PATIENCE`] is given up: whether all was written.
async fn listen(socket: Socket, goodbye: &Goodbye, messages: Messages) -> (Ending, bool) {
    let (to, written, moves) = messages.on_a_thread();
    let sender = socket.sender();
    let all = async {
        let ending = pass_on(socket, goodbye, to).await;
        let _ = written.await;
        ending
    };
    let given_up = async {
        goodbye.asked_by_signal().await;
        let ending = sender.ended().await;
        moves.cease(PATIENCE).await;
        ending
    };
    tokio::select! {
        biased;
        ending = all => (ending, true),
        ending = given_up => (ending, false),
    }
}

/// Passes messages on until the connection is over, and says goodbye when it is time to. Neither
/// waits for whoever reads our output.
async fn pass_on(mut socket: Socket, goodbye: &Goodbye, to: mpsc::Sender<Message>) -> Ending {
    let mut next = None;
    // Once: a closing handshake has begun, or nobody reads the output any more.
    let (mut closing, mut unread) = (false, false);
    loop {
        tokio::select! {
            () = goodbye.due(), if !closing => {
                closing = true;
                socket.start_close(CloseCode::NORMAL);
            }
            // Who has gone does not want the rest either (`| head`).
            () = to.closed(), if !unread => {
                (unread, closing, next) = (true, true, None);
                socket.start_close(CloseCode::NORMAL);
            }
            room = to.reserve(), if next.is_some() => {
                if let (Ok(room), Some(message)) = (room, next.take()) {
                    room.send(message);
                }
            }
            message = socket.recv(), if next.is_none() => match message {
                Some(_) if unread => {}
                Some(message) => next = Some(message),
                None => break,
            },
        }
    }
    socket.ended().await
}

/// At the first signal asks to say goodbye, at the second ends at once.
async fn leave(mut signals: Signals, goodbye: Arc<Goodbye>) {
    signals.stop().await;
    goodbye.at_signal();
    signals.insist().await;
    end_at_once("without knowing how the connection ended");
}

fn end_at_once(how: &str) -> ! {
    say::warn(format_args!("ended at once, {how}"));
    std::process::exit(exit::INSISTED)
}
