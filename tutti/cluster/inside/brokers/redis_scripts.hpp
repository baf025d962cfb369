// redis_scripts: what Redis does in one step for us.
//
// All of those that consumers use, and those of results, begin with a write that needs no memory and changes
// nothing: after that one, Redis lets a script finish although it is full. Otherwise nobody could take from a full
// Redis what fills it.
//
// A list that refuses a message must not stop a script halfway, for what had been sent before would be sent again: what
// returns to such a list goes to the queue's dead letters instead, or to `tutti:dead`. Scripts that send say how many
// were diverted so, and what the last list said.
#pragma once
#include <string>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>

namespace tutti::cluster::detail {

/// KEYS held, consumers, LIST...; ARGV consumer, lease in ms, most, first tag, 1 when an answer may have been lost.
/// Renews the lease, moves elements from the lists into what the consumer holds, under tags whose numbers count up from
/// the first one, until some 4 MB were moved; gives tag, record, tag, record... When an answer was lost, it gives what
/// is left of that one instead.
extern const redis_script receive_script;

/// KEYS held, later, later's texts; ARGV for each settlement: tag, 1 to give it back, how many follow; and for each of
/// those: list, due in ms or 0, token, text. Gives how many were diverted, and why, and for each a 1, or a 0 when it
/// was not held; an error, with the settlements before it carried out, when the list of what follows one refuses, which
/// then is as it was. Each settlement happens once, however often this is called and however late: it needs the record,
/// it ends by dropping it, and no tag is used twice. Between the two only our own keys can refuse; what waits for its
/// time has the same token again.
extern const redis_script settle_script;

/// KEYS consumers, later, later's texts; ARGV consumer, lease in ms, the latest time that it can be by the caller's
/// clock (0: unknown), at most so many to move. Renews the lease; gives back what consumers held whose lease is over,
/// unless Redis' clock has jumped, and notes for a day their last tag in tutti:ended:CONSUMER; hands out what is due.
/// Gives the time, whether there is more to do at once, and when the next one is due (-1: none); how many were
/// diverted, and why; and the caller's own last tag that others have noted, or 0.
extern const redis_script keep_script;

/// KEYS held, consumers; ARGV consumer. It leaves, and gives back what it holds. Gives 1 when there is more to do; how
/// many were diverted, and why.
extern const redis_script leave_script;

/// Says so when there were any. `broker`: its name.
void log_diverted(const std::string& broker, redis_value count, redis_value why);

// These two look at what waits for its time in slices, so that others get their turn: each call is given the cursor
// that the one before gave first, from "0" until it is that again.

/// KEYS later, consumers; ARGV cursor, queue... Gives the next cursor, and for each queue: held, delayed. What is held
/// is counted by the first call.
extern const redis_script count_script;

/// KEYS later, later's texts, LIST of the queue...; ARGV cursor. Drops all; the first call what is in the lists. Gives
/// the next cursor, and how many.
extern const redis_script purge_script;

/// KEYS result; ARGV text, seconds or 0, kind: "success", "passing" or "failure". Stores it and publishes it; but
/// nothing replaces a success with another state, nor a failure with what passes.
extern const redis_script store_script;

/// KEYS parts, moved, size, header, completed; ARGV index, id, part, seconds. When that were all of them, what Celery
/// has noted of the header, or "", and all parts; else nil, and when another task's part had completed it. That is
/// noted here only where there is no header of Celery's.
extern const redis_script chord_script;
/// KEYS completed; ARGV id, seconds. The id of the task that was noted first.
extern const redis_script complete_script;

}  // namespace tutti::cluster::detail
