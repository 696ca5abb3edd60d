# C types for search_classes.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_costs cimport Costs
from energysim.mapping.search_windows cimport integer

cdef integer PLAIN

cdef class Classes(Costs):
    cdef integer[::1] ahead
    cdef integer[::1] class_start, class_end, prefix
    cdef integer[:, ::1] classes, class_seen, class_length
    cdef integer class_total
    @cython.locals(dims=integer)
    cdef void clear_classes(self)
    @cython.locals(inner=integer, d=integer, plain=integer, t=integer)
    cdef void make_classes(self, integer mask)
    cdef integer closes(self, integer t, integer d)
    @cython.locals(open_tensors=integer, t=integer, ends=integer, k=integer, d=integer)
    cdef void extend_order(self, integer mask, integer left, integer length)
    @cython.locals(n=integer, t=integer, seen=integer, k=integer, slides=integer, kept=integer, i=integer, place=integer, d=integer, inside=integer)
    cdef void add_class(self, integer mask, integer left, integer length)
    @cython.locals(k=integer, t=integer)
    cdef void copy_class(self, integer source, integer target) noexcept
    @cython.locals(t=integer, mine=integer, theirs=integer, length=integer)
    cdef integer as_good(self, integer one, integer other)
    @cython.locals(t=integer, waits=integer, k=integer, d=integer)
    cdef integer stays(self, integer level)
    @cython.locals(k=integer)
    cdef integer take_order(self, integer level, integer which)
