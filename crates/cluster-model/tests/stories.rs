//! Each simpler protocol that was thought of, and the shortest run in which it goes wrong. In the
//! same world the protocol holds. `--nocapture` shows the runs.

mod common;

use cluster_model::{Budget, Property, Scenario, Telling, Variant};
use common::only_breaks;

/// The client may come back once, and nothing fails.
const RESUME: Budget = Budget { resumes: 1, ..Budget::NONE };
/// The engine fails over once, and the client may come back once.
const FAILOVER: Budget = Budget { failovers: 1, resumes: 1, ..Budget::NONE };

/// With a replica the backend is told once the replica knows.
fn replicated(budget: Budget) -> Scenario {
    Scenario { telling: Telling::OneStep, ..Scenario::of("failover", budget) }
}

#[test]
fn without_a_fence_an_old_end_ends_a_session_that_was_resumed() {
    let scenario = Scenario::of("resume", RESUME);
    only_breaks(&scenario, Variant::NoFence, Property::Ending);
}

#[test]
fn without_a_fence_in_commit_two_owners_commit() {
    let scenario = Scenario::of("message, resume", Budget { sends: 1, ..RESUME });
    only_breaks(&scenario, Variant::CommitWithoutFence, Property::OneOwner);
}

#[test]
fn a_node_with_a_fast_clock_ends_a_session_whose_client_is_connected() {
    let scenario = Scenario::of("nothing fails", Budget::NONE);
    only_breaks(&scenario, Variant::LeaseByNodeClock, Property::Ending);
}

#[test]
fn a_deadline_that_is_taken_out_is_lost_with_the_node_that_took_it() {
    let scenario = Scenario::of("crash", Budget { crashes: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::DeadlinePoppedFirst, Property::Liveness);
}

#[test]
fn presence_that_is_decided_outside_of_the_script_says_left_of_a_user_who_is_there() {
    let scenario = Scenario { sessions: 2, ..Scenario::of("two sessions", Budget::NONE) };
    only_breaks(&scenario, Variant::PresenceOutsideTheScript, Property::Presence);
}

#[test]
fn an_ack_that_takes_out_the_head_takes_out_an_event_that_was_not_told() {
    let budget = Budget { sends: 2, slow_holds: 1, ..Budget::NONE };
    let scenario = Scenario { telling: Telling::Http, ..Scenario::of("a slow sender", budget) };
    only_breaks(&scenario, Variant::AckPopsTheHead, Property::ClientMessages);
}

#[test]
fn a_post_that_is_forwarded_to_a_dead_owner_is_gone_behind_its_202() {
    let budget = Budget { posts: 1, crashes: 1, ..RESUME };
    let scenario = Scenario::of("post, crash", budget);
    only_breaks(&scenario, Variant::ForwardedPost, Property::Gap);
}

#[test]
fn a_claim_that_reads_and_writes_apart_undoes_a_commit() {
    let scenario = Scenario::of("message, resume", Budget { sends: 1, ..RESUME });
    only_breaks(&scenario, Variant::ClaimReadsThenWrites, Property::ClientMessages);
}

#[test]
fn without_the_audit_a_lost_reply_makes_a_session_that_is_never_over() {
    let scenario = Scenario::of("a lost reply", Budget { losses: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::NoAudit, Property::Liveness);
}

#[test]
fn an_answer_that_is_read_late_says_resumed_of_a_session_that_is_over() {
    let scenario = Scenario::of("pause, resume", Budget { pauses: 1, ..RESUME });
    only_breaks(&scenario, Variant::LateAnswerUsed, Property::Ending);
}

#[test]
fn an_answer_that_is_read_late_does_so_without_a_pause_where_a_handshake_is_given_up() {
    let budget = Budget { resumes: 2, abandons: 1, ..Budget::NONE };
    let scenario = Scenario::of("an abandoned handshake", budget);
    only_breaks(&scenario, Variant::LateAnswerUsed, Property::Ending);
}

#[test]
fn an_end_without_its_epoch_ends_a_session_that_was_resumed_though_nothing_failed() {
    let scenario = Scenario::of("resume", RESUME);
    only_breaks(&scenario, Variant::EndWithoutEpoch, Property::Ending);
}

#[test]
fn an_epoch_is_issued_twice_over_a_failover_and_is_no_fence_alone() {
    let scenario = replicated(Budget { sends: 1, resumes: 2, ..FAILOVER });
    only_breaks(&scenario, Variant::EpochOnly, Property::OneOwner);
}

#[test]
fn an_end_that_is_sent_again_to_a_promoted_engine_ends_a_session_whose_client_is_connected() {
    only_breaks(&replicated(FAILOVER), Variant::EndRepeatedOverFailover, Property::Ending);
}

#[test]
fn a_claim_that_comes_again_at_a_promoted_engine_hides_the_rollback_from_its_owner() {
    let scenario = replicated(Budget { sends: 1, duplicates: 1, ..FAILOVER });
    only_breaks(&scenario, Variant::RequestsOutliveTheEngine, Property::Rollback);
}

#[test]
fn a_claim_of_a_client_that_has_gone_ends_its_session_at_a_promoted_engine() {
    let budget = Budget { sends: 1, resumes: 2, abandons: 1, ..FAILOVER };
    only_breaks(&replicated(budget), Variant::ClaimRepeatedForNobody, Property::Ending);
}

#[test]
fn an_end_that_is_told_before_the_replica_knows_is_told_of_a_session_that_is_resumed() {
    only_breaks(&replicated(FAILOVER), Variant::ToldBeforeReplicated, Property::Ending);
}

#[test]
fn a_number_without_its_tag_is_another_message_behind_a_failover() {
    let scenario = replicated(Budget { posts: 2, ..FAILOVER });
    only_breaks(&scenario, Variant::NumberWithoutTag, Property::Gap);
}

#[test]
fn an_ack_without_the_tag_takes_out_another_message_behind_a_failover() {
    let scenario = replicated(Budget { posts: 2, ..FAILOVER });
    only_breaks(&scenario, Variant::CommitWithoutTag, Property::Gap);
}

#[test]
fn a_202_before_the_replica_knows_is_no_promise() {
    let scenario = replicated(Budget { posts: 1, ..FAILOVER });
    only_breaks(&scenario, Variant::AcceptedBeforeReplicated, Property::Gap);
}

#[test]
fn an_acknowledgement_that_is_not_offered_is_lost_in_silence() {
    let scenario = replicated(Budget { sends: 1, ..FAILOVER });
    only_breaks(&scenario, Variant::AcknowledgementNotOffered, Property::Rollback);
}

#[test]
fn a_write_that_is_repeated_with_a_new_nonce_looks_like_a_rollback() {
    let scenario = Scenario::of("a lost reply", Budget { sends: 1, losses: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::NewNonceOnRepeat, Property::Alarm);
}

#[test]
fn a_write_that_is_not_known_again_looks_like_a_rollback() {
    let scenario = Scenario::of("a lost reply", Budget { sends: 1, losses: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::NoIdempotence, Property::Alarm);
}

#[test]
fn an_acknowledgement_before_the_commit_is_a_message_that_nobody_gets() {
    let scenario = Scenario::of("message, crash", Budget { sends: 1, crashes: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::AcknowledgedBeforeCommit, Property::ClientMessages);
}

#[test]
fn orphans_that_are_sought_once_leave_a_late_claim_of_a_dead_node_for_ever() {
    let scenario = Scenario::of("crash, resume", Budget { crashes: 1, ..RESUME });
    only_breaks(&scenario, Variant::OrphansSoughtOnce, Property::Liveness);
}

#[test]
fn a_start_that_comes_again_behind_the_end_begins_a_session_that_is_over() {
    let budget = Budget { goodbyes: 1, duplicates: 1, ..Budget::NONE };
    let scenario = Scenario { sessions: 2, ..Scenario::of("two sessions, twice", budget) };
    only_breaks(&scenario, Variant::EndsForgotten, Property::Ending);
}

#[test]
fn a_post_without_a_key_reaches_the_client_twice() {
    let scenario = Scenario::of("a lost answer", Budget { posts: 1, losses: 1, ..Budget::NONE });
    only_breaks(&scenario, Variant::PostWithoutKey, Property::Gap);
}

#[test]
fn without_an_audit_of_connections_a_session_ends_whose_client_is_connected() {
    let budget = Budget { resumes: 2, abandons: 1, ..Budget::NONE };
    let scenario = Scenario::of("an abandoned handshake", budget);
    only_breaks(&scenario, Variant::NoAuditOfConnections, Property::Ending);
}

#[test]
fn a_deadline_that_passes_before_the_audit_ends_a_session_whose_claim_a_failover_lost() {
    only_breaks(&replicated(FAILOVER), Variant::DeadlineBeforeAudit, Property::Ending);
}

#[test]
fn a_deadline_that_passes_before_the_audit_ends_a_session_though_nothing_failed() {
    let budget = Budget { resumes: 2, abandons: 1, ..Budget::NONE };
    let scenario = Scenario::of("an abandoned handshake", budget);
    only_breaks(&scenario, Variant::DeadlineBeforeAudit, Property::Ending);
}

#[test]
fn a_message_that_made_room_is_a_gap_unless_it_is_told() {
    let budget = Budget { posts: 2, crashes: 1, ..RESUME };
    let scenario = Scenario { keeps: 1, ..Scenario::of("posts, one is kept", budget) };
    only_breaks(&scenario, Variant::LossNotTold, Property::Gap);
}
