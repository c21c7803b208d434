//! What a completion belongs to, packed into the 64 bits that the kernel carries for each operation.

/// One kind of operation of the private ring, with what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Accepts at the listener with this index.
    Accept {
        listener: u32,
    },
    /// The generation's lower bits only: they check, and the slot decides.
    Receive {
        slot: u32,
        generation: u32,
    },
    Send {
        slot: u32,
        generation: u32,
    },
    /// Waits for the peer's end of a connection that is not read.
    Watch {
        slot: u32,
        generation: u32,
    },
    /// Reads the shard's own bell.
    Bell,
    /// Is the store's own, and so is the name.
    Store {
        name: u32,
    },
    /// Ends another operation; its own completion says nothing of interest.
    Cancel,
}

impl Operation {
    pub fn pack(self) -> u64 {
        let (kind, index, generation) = match self {
            Operation::Accept { listener } => (1, listener, 0),
            Operation::Receive { slot, generation } => (2, slot, generation),
            Operation::Send { slot, generation } => (3, slot, generation),
            Operation::Bell => (4, 0, 0),
            Operation::Cancel => (5, 0, 0),
            Operation::Store { name } => (6, name, 0),
            Operation::Watch { slot, generation } => (7, slot, generation),
        };
        kind << 56 | u64::from(generation & GENERATION_BITS) << 32 | u64::from(index)
    }

    pub fn unpack(user_data: u64) -> Operation {
        let index = (user_data & u64::from(u32::MAX)) as u32;
        let generation = (user_data >> 32) as u32 & GENERATION_BITS;
        match user_data >> 56 {
            1 => Operation::Accept { listener: index },
            2 => Operation::Receive { slot: index, generation },
            3 => Operation::Send { slot: index, generation },
            4 => Operation::Bell,
            5 => Operation::Cancel,
            6 => Operation::Store { name: index },
            7 => Operation::Watch { slot: index, generation },
            kind => unreachable!("the kernel gives back what it was given, and {kind} never was"),
        }
    }
}

pub(crate) const GENERATION_BITS: u32 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_the_way_through_the_kernel() {
        let all = [
            Operation::Accept { listener: 3 },
            Operation::Receive { slot: u32::MAX, generation: GENERATION_BITS },
            Operation::Send { slot: 7, generation: 1 },
            Operation::Watch { slot: 8, generation: 2 },
            Operation::Bell,
            Operation::Cancel,
            Operation::Store { name: 9 },
        ];
        for operation in all {
            assert_eq!(Operation::unpack(operation.pack()), operation);
        }
    }
}
