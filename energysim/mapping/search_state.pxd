# C types for search_state.py; without a compiler the module runs as plain Python.
from energysim.mapping.search_windows cimport Windows, integer

cdef class State:
    cdef Windows windows
    cdef integer dims, levels, tensors, size
    cdef integer[::1] count, stride
    cdef short[:, ::1] digits
    cdef integer[:, ::1] child
    cdef double[:, ::1] least_last
    cdef integer[:, ::1] value
    cdef integer[:, :, ::1] product, ratio
    cdef unsigned char[:, :, ::1] by_prime, returns
    cdef integer ragged
    cdef double[:, ::1] moving, left
    cdef integer[:, ::1] cut, waits
    cdef integer[::1] cuts, by_parts
    cdef integer[:, ::1] touches
    cdef double[:, ::1] plain, reuse
    cdef double[::1] volume, passes_of
    cdef unsigned char[:, ::1] fits, spreads
    cdef unsigned char[:, :, :, ::1] pairs
    cdef double[::1] fan
    cdef unsigned char[:, ::1] shares, passes, untiled
    cdef unsigned char[::1] is_output, shared_port
    cdef integer[:, ::1] parent
    cdef integer[::1] charge
    cdef double[:, ::1] tile_pj
    cdef double[:, ::1] up, into, first, last_parent, last_child
    cdef double[:, :, ::1] cross, last_cross, final_cycles
    cdef double[:, ::1] read_cycles, write_cycles
    cdef double[::1] elements
    cdef integer[:, ::1] ranks
    cdef integer[::1] rank_start, window_start, window_known
    cdef unsigned char[:, ::1] fixes, handed_on, shared_outside
    cdef double[:, ::1] outer_pj_at, inner_pj_at
    cdef integer[::1] kind
    cdef integer lends
    cdef unsigned char[:, ::1] differs, other_handed, other_shared
    cdef integer[:, ::1] other_parent
    cdef double[:, ::1] other_outer, other_inner, lent
    cdef double[::1] other_full, other_stay, part_full, part_stay
    cdef double[::1] window
    cdef integer[::1] mirror
    cdef integer symmetric, still_tensor, still_level, idle_gap
    cdef double constant_pj, idle_pj, operations
    cdef int[::1] row_tile, row_space, row_whole
    cdef double[::1] row_own
    cdef integer row_total
    cdef integer[::1] begin, end, chosen
    cdef double[:, ::1] least, inside, outside
    cdef integer[:, ::1] best_row, starts
    cdef integer[::1] deep
    cdef integer deepest
    cdef double[::1] deep_pj, row_low
    cdef double[:, ::1] joint, low, again, run_on
    cdef double[:, :, ::1] held
    cdef integer[:, ::1] tile, space, bound, stretch, order
    cdef integer[::1] flat_tile, flat_space
    cdef double[:, ::1] reads, writes
    cdef integer[::1] now_tile, now_space, now_whole
    cdef object awake
    cdef double stall_share
    cdef integer stall_level
    cdef public double best_pj, limit_pj, open_pj, cap_cycles
    cdef public object best_tile, best_space, best_order
    cdef public integer timed, nodes, candidates, sparing
    cdef integer[::1] lean
