// redis_scripts: what Redis does in one step for us.
//
// All of those that consumers use begin with a write that needs no memory and changes nothing: after that one, Redis
// lets a script finish although it is full. Otherwise nobody could take from a full Redis what fills it.
#pragma once
#include <tutti/cluster/inside/brokers/redis_connection.hpp>

namespace tutti::cluster::detail {

/// KEYS held, consumers, LIST...; ARGV consumer, lease in ms, most, first tag, 1 when an answer may have been lost.
/// Renews the lease, moves elements from the lists into what the consumer holds, under tags that count up from the
/// first one; gives tag, record, tag, record... When an answer was lost, it gives what is left of that one instead.
extern const redis_script receive_script;

/// KEYS held, later, later's texts, settled; ARGV number of this call, that of the call before which this
/// one must not be carried out without (0: none), then for each settlement: tag, 1 to give it
/// back, how many follow; and for each of those: list, due in ms or 0, token, text. Does nothing when it knows this
/// number or a later one.
extern const redis_script settle_script;

/// KEYS consumers, later, later's texts; ARGV consumer, lease in ms, the latest time that it can be by the caller's
/// clock (0: unknown), at most so many to move. Renews the lease; gives back what consumers held whose lease is over,
/// unless Redis' clock has jumped, and hands out what is due. Gives the time, whether there is more to do at once, and
/// when the next one is due (-1: none).
extern const redis_script keep_script;

/// KEYS held, consumers, settled; ARGV consumer. It leaves, and gives back what it holds.
extern const redis_script leave_script;

/// KEYS later, consumers; ARGV queue... For each queue: held, delayed.
extern const redis_script count_script;

/// KEYS later, later's texts, LIST of the queue...; Drops all, gives how many.
extern const redis_script purge_script;

/// KEYS result; ARGV text, seconds or 0. Keeps it unless there is a success, and publishes it then.
extern const redis_script progress_script;

/// KEYS parts, moved, size, header; ARGV index, id, part, seconds. When that were all of them, what Celery has noted of
/// the header, or "", and all parts; else nil.
extern const redis_script chord_script;

}  // namespace tutti::cluster::detail
