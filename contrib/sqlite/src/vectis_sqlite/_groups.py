"""Consumer groups in the file: members, leases with epochs, commits; functions in a transaction.

A member holds a partition while the lease row names it. Every change of owner raises the epoch, and
a commit is one update that finds its row only under the epoch it was made with: whoever lost the
lease, however late it wakes up, changes nothing.
Ids of members are never made twice, in no file: one that was replaced does not know its members,
and none of them takes another one for itself.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING

import attrs
import orjson

from vectis.core.message import TopicPartition
from vectis.core.partition import fair_share
from vectis_sqlite._news import topics_read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from vectis_sqlite._headers import Connection
    from vectis_sqlite._records import Topics

__all__ = [
    "Lease",
    "Membership",
    "Standing",
    "commit",
    "committed_offset",
    "generation",
    "leave",
    "stands",
    "take_part",
]

_CHANCE_BITS = 21


@attrs.frozen
class Lease:
    """The right to read a partition for its group, and to commit.

    Args:
        partition: The id of the partition in the file.
        member: The id of the member that holds it.
        epoch: How many owners the partition has had in this group.
        committed: The group's committed offset when the lease was read.
    """

    partition: int
    member: int
    epoch: int
    committed: int | None = attrs.field(eq=False)


@attrs.frozen
class Standing:
    """How a member stands in its group.

    Args:
        group: The group's id.
        member: The member's id.
        held: Its leases.
        leaving: Those of them that it should give to others.
        generation: The group's generation after this.
        next_expiry: When the next look at who is dead is due, on the shared clock; or None.
        patient_until: Before this it buries nobody, on the shared clock.
        at: When this was so, on the shared clock.
    """

    group: int
    member: int
    held: Mapping[TopicPartition, Lease]
    leaving: frozenset[TopicPartition]
    generation: int = attrs.field(eq=False)
    next_expiry: float | None = attrs.field(eq=False)
    patient_until: float = attrs.field(eq=False)
    at: float = attrs.field(eq=False)


@attrs.frozen
class Membership:
    """Who wants to take part.

    Args:
        group: The group's name.
        topics: The topics it reads.
        lease: For how long a sign of life is good, in seconds.
    """

    group: str
    topics: Sequence[str]
    lease: float


def take_part(
    connection: Connection,
    topics: Topics,
    who: Membership,
    member: int | None,
    *,
    now: float,
    bell: str | None = None,
    release: Collection[Lease] = (),
    patient_until: float = 0.0,
) -> Standing:
    """Join, or give a sign of life; release, bury the dead, and take a fair share of what is free.

    The file may have been locked until now. The first to come then finds the leases of all others
    run out, who wait for their turn to renew. So whoever is late itself gives them the time of its
    lease before it buries anybody, and who has just come a third of it.

    Args:
        connection: Within a writing transaction.
        topics: The file's topics.
        who: The member.
        member: Its id from before; None to join. It joins anew when others have given it up.
        now: The shared clock, in seconds.
        bell: The name of what wakes it up, told to the others when it joins.
        release: Leases to give up.
        patient_until: What the last standing said.
    """
    group = _group(connection, who.group)
    row = connection.execute(
        "SELECT expires FROM members WHERE id = ? AND group_id = ?", (member, group)
    ).fetchone()
    if row is None:
        patient_until = now + who.lease / 3
    elif row[0] < now:
        patient_until = now + who.lease
    changed = bool(release)
    if member is None or row is None:
        member = _join(connection, topics, who, group, now, bell)
        changed = True
    else:
        connection.execute("UPDATE members SET expires = ? WHERE id = ?", (now + who.lease, member))
    for lease in release:
        _free(connection, group, "member = ? AND partition_id = ?", (lease.member, lease.partition))
    # Too far ahead is dead too: the machine was restarted, and the clock with it. One second more
    # than the lease, since what was added to a float does not come off it again to the last bit.
    dead = connection.execute(
        "SELECT id FROM members WHERE group_id = ? AND (expires < ? OR expires - ? > lease + 1)",
        (group, now if now >= patient_until else -1, now),
    ).fetchall()
    for (id,) in dead:
        _remove(connection, group, id)
    if changed or dead:
        connection.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))
    return _share(connection, group, member, now, patient_until)


def _group(connection: Connection, name: str) -> int:
    connection.execute("INSERT INTO groups (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    (id,) = connection.execute("SELECT id FROM groups WHERE name = ?", (name,)).fetchone()
    return int(id)


def _join(
    connection: Connection,
    topics: Topics,
    who: Membership,
    group: int,
    now: float,
    bell: str | None,
) -> int:
    partitions = [id for topic in who.topics for id in topics.ids(connection, topic)]
    connection.executemany(
        "INSERT INTO leases (group_id, partition_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(group, partition) for partition in partitions],
    )
    # Those who join later have higher ids, since shares go by that; the rest is chance.
    id = time.time_ns() // 1_000_000 << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
    connection.execute(
        "INSERT INTO members (id, group_id, topics, process, lease, expires, bell) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            id,
            group,
            orjson.dumps(list(who.topics)).decode(),
            os.getpid(),
            who.lease,
            now + who.lease,
            bell,
        ),
    )
    return id


def _share(
    connection: Connection, group: int, member: int, now: float, patient_until: float
) -> Standing:
    members = {
        id: topics_read(topics)
        for id, topics in connection.execute(
            "SELECT id, topics FROM members WHERE group_id = ? ORDER BY id", (group,)
        ).fetchall()
    }
    read = frozenset().union(*members.values())
    rows = {
        TopicPartition(topic, number): (id, owner, epoch, committed)
        for topic, number, id, owner, epoch, committed in connection.execute(
            "SELECT topics.name, partitions.number, partitions.id, "
            "leases.member, leases.epoch, leases.committed FROM leases "
            "JOIN partitions ON partitions.id = leases.partition_id "
            "JOIN topics ON topics.id = partitions.topic WHERE leases.group_id = ?",
            (group,),
        ).fetchall()
        if topic in read
    }
    share = fair_share({where: row[1] for where, row in rows.items()}, members)
    held = {}
    for where, (id, owner, epoch, committed) in rows.items():
        if owner == member:
            held[where] = Lease(id, member, epoch, committed)
        elif owner is None and share[where] == member:
            connection.execute(
                "UPDATE leases SET member = ?, epoch = epoch + 1 "
                "WHERE group_id = ? AND partition_id = ?",
                (member, group, id),
            )
            held[where] = Lease(id, member, epoch + 1, committed)
    (next_expiry,) = connection.execute(
        "SELECT min(expires) FROM members WHERE group_id = ? AND id <> ?", (group, member)
    ).fetchone()
    return Standing(
        group=group,
        member=member,
        held=held,
        leaving=frozenset(where for where in held if share[where] != member),
        generation=generation(connection, group),
        next_expiry=None if next_expiry is None else max(next_expiry, patient_until),
        patient_until=patient_until,
        at=now,
    )


def generation(connection: Connection, group: int) -> int:
    """Return the group's generation: it grew when there is something to share anew."""
    row = connection.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
    return int(row[0]) if row else -1


def stands(connection: Connection, standing: Standing) -> bool:
    """Return whether a member stands so in the file that is read through this connection.

    It does not in a file that took the place of the one it joined, nor after others gave it up.
    """
    if not connection.execute(
        "SELECT 1 FROM members WHERE id = ? AND group_id = ?", (standing.member, standing.group)
    ).fetchone():
        return False
    there = {
        TopicPartition(topic, number): (id, epoch)
        for topic, number, id, epoch in connection.execute(
            "SELECT topics.name, partitions.number, partitions.id, leases.epoch FROM leases "
            "JOIN partitions ON partitions.id = leases.partition_id "
            "JOIN topics ON topics.id = partitions.topic "
            "WHERE leases.group_id = ? AND leases.member = ?",
            (standing.group, standing.member),
        ).fetchall()
    }
    return there == {
        where: (lease.partition, lease.epoch) for where, lease in standing.held.items()
    }


def commit(
    connection: Connection, group: int, offsets: Iterable[tuple[TopicPartition, Lease, int]]
) -> list[TopicPartition]:
    """Store offsets under their leases, and return the partitions whose lease was lost."""
    lost = []
    for where, lease, offset in offsets:
        stored = connection.execute(
            "UPDATE leases SET committed = ? "
            "WHERE group_id = ? AND partition_id = ? AND member = ? AND epoch = ?",
            (offset, group, lease.partition, lease.member, lease.epoch),
        )
        if not stored.rowcount:
            lost.append(where)
    return lost


def leave(connection: Connection, group: int, member: int) -> None:
    """Leave the group and free everything at once."""
    _remove(connection, group, member)
    connection.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))


def _remove(connection: Connection, group: int, member: int) -> None:
    connection.execute("DELETE FROM members WHERE id = ?", (member,))
    _free(connection, group, "member = ?", (member,))


def _free(connection: Connection, group: int, which: str, values: tuple[int, ...]) -> None:
    connection.execute(
        f"UPDATE leases SET member = NULL WHERE group_id = ? AND {which}", (group, *values)
    )


def committed_offset(group: str, where: TopicPartition, connection: Connection) -> int | None:
    """Return the committed offset of a group, or None when it has none."""
    row = connection.execute(
        "SELECT leases.committed FROM leases "
        "JOIN groups ON groups.id = leases.group_id "
        "JOIN partitions ON partitions.id = leases.partition_id "
        "JOIN topics ON topics.id = partitions.topic "
        "WHERE groups.name = ? AND topics.name = ? AND partitions.number = ?",
        (group, where.topic, where.partition),
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])
