; 1-data: the header of cc1 itself, constants, and memory.

; ---- the header of this executable: program in one segment, memory in another ----

    quad 0x00010102464c457f         ; 7f E L F, 64 bits, lowest byte first, version 1
    quad 0
    long 0x003e0002                 ; an executable for x86-64
    long 1
    quad start
    quad 0x40                       ; program headers at offset 0x40
    quad 0
    long 0
    long 0x00380040                 ; sizes of this header and of a program header
    long 2                          ; two program headers
    long 0
    long 1                          ; loaded
    long 5                          ; may be read and run
    quad 0                          ; from the start of the file
    quad 0x400000                   ; to this address
    quad 0x400000
    quad end-0x400000
    quad end-0x400000
    quad 0x1000
    long 1                          ; loaded
    long 6                          ; may be read and written
    quad 0
    quad 0x10000000                 ; where `reserve` begins
    quad 0x10000000
    quad 0                          ; nothing of it is in the file
    quad 0x10000000                 ; zeros
    quad 0x1000

; ---- words ----

NUMBER = 1
STRING = 2
NAME = 3
TWICE = 128
EQUAL = 256
ARROW = 600
LONG = 700                          ; the first four begin a type
CHAR = 701
VOID = 702
STRUCT = 703
ENUM = 704
IF = 705
ELSE = 706
WHILE = 707
FOR = 708
SWITCH = 709
CASE = 710
DEFAULT = 711
BREAK = 712
CONTINUE = 713
RETURN = 714
SIZEOF = 715

reserve arguments 8                 ; the address of the command's word read last
reserve out 8                       ; the name of the program to write
reserve file 8                      ; the name of the file
reserve line 8                      ; the line of the next character
reserve source 8                    ; the next character
reserve file_end 8                  ; the end of the file that is read
reserve token 8                     ; the word that is looked at
reserve token_line 8
reserve token_value 8
reserve token_name 8
reserve expected 8                  ; for a message
reserve fail_name 8                 ; a name for a message
reserve digits 32

; ---- names: one record for each spelling ----

NAME_CHAIN = 0                      ; the next of the same sum
NAME_LENGTH = 8
NAME_KEYWORD = 16                   ; what the word is; zero for a name
NAME_KIND = 24                      ; a kind from below; zero if it has no meaning
NAME_TYPE = 32                      ; of the value, of elements, or of the result
NAME_VALUE = 40                     ; of CONSTANT; address; a function's place in `code`
NAME_COUNT = 48                     ; of a function's parameters
NAME_CALLS = 56                     ; of a function: the last call, see `put_link`
NAME_STRUCT = 64                    ; what struct NAME is: 24 times its number
NAME_TEXT = 72

reserve buckets 8192
reserve name_syscall 8
reserve name_main 8

; ---- types: 256 times the base, plus the number of stars ----

; A base is 0 (void), 1 (char), 2 (long), or the number of a struct.
T_VOID = 0
T_CHAR = 256
T_TEXT = 257                        ; char *
T_LONG = 512

; A struct: 24 bytes in `structs`.
STRUCT_MEMBERS = 0                  ; the last member
STRUCT_SIZE = 8                     ; zero until it is defined
reserve structs 240000
reserve structs_end 8

MEMBER_NEXT = 0
MEMBER_NAME = 8
MEMBER_TYPE = 16
MEMBER_OFFSET = 24
MEMBER_SIZE = 32

; ---- what an expression is: its code may not have been put yet ----

VALUE = 1                           ; in rax
CONSTANT = 2                        ; the number `value`; an array is one, too
LOCAL = 3                           ; the variable at rbp + value
GLOBAL = 4                          ; the variable at the address `value`
MEMORY = 5                          ; what lies at rax + value
FLAGS = 6                           ; 1 if the condition `value` holds, else 0; see `compare`
WHEN_FALSE = 7                      ; 0 by the jumps `value`, 1 if none is taken
WHEN_TRUE = 8                       ; 1 by the jumps `value`, 0 if none is taken
FUNCTION = 9                        ; only of names
SYSCALL = 10

reserve kind 8
reserve type 8
reserve value 8
reserve right_type 8                ; of the right operand
reserve step 8                      ; what ++ and -- add

; ---- functions ----

reserve frame 8                     ; bytes of the locals that live now
reserve frame_max 8                 ; the most that lived at once
reserve result_type 8
reserve scope_end 8                 ; the end of the meanings that locals hide
reserve scope_start 8               ; where the meanings of this block's locals begin
reserve loop 8                      ; 1 in a loop: `continue` may be used
reserve breakable 8                 ; 1 in a loop or switch: `break` may be used
reserve breaks 8                    ; the jumps of `break`
reserve continues 8                 ; and of `continue`
reserve cases_end 8
reserve default_place 8
reserve name 8                      ; what is being declared
reserve count 8                     ; of parameters or arguments

HIDDEN_SIZE = 32                    ; a name, its kind, type and value
SCOPE_SIZE = 0x100000
reserve scopes SCOPE_SIZE
CASE_SIZE = 16                      ; a value, a place in `code`
CASES_SIZE = 0x100000
reserve cases CASES_SIZE

; ---- the program that is made ----

STRINGS_ADDRESS = 0x8000000
SPACE_ADDRESS = 0x10000000
SPACE_END = 0x70000000
reserve space 8                     ; the address of the next global
reserve code_end 8                  ; where the next instruction goes
reserve strings_used 8

FILE_SIZE = 0x400000
reserve file_text FILE_SIZE
STRINGS_SIZE = 0x400000
reserve strings STRINGS_SIZE
reserve strings_slack 4096
CODE_SIZE = 0x800000
reserve code CODE_SIZE
reserve code_slack 0x410000           ; the strings are put after the code at last
HEAP_SIZE = 0x1000000
reserve heap HEAP_SIZE
reserve heap_used 8
