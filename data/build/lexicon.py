"""The words of the forty concepts, by role.

Each role is one string of words. A verb or an adjective may name after a colon the nouns it goes with
(without a colon it goes with every thing of its concept). `~` marks a noun without plural, `/` the
preposition of a place. Words that belong to several concepts (bank, pitch, cell, bark, crane, court, ...)
are meant to.

people   who acts ("creatures" where these are no people)
things   what is acted on
places   where
verbs    what people do to things
acts     what people do without an object
events   what things do by themselves
adjs     how things are
"""

CONCEPTS: dict[str, dict[str, str]] = {
    "football": {
        "people": "goalkeeper striker defender referee winger coach",
        "things": "ball goal penalty jersey trophy match net league",
        "places": "stadium pitch/on bench/on touchline/on",
        "verbs": "kick:ball,penalty score:goal,penalty save:penalty pass:ball win:trophy,match,league "
        "tackle:striker,winger",
        "acts": "dribble sprint celebrate",
        "adjs": "muddy:ball,jersey,net decisive:goal,penalty,match offside:goal",
    },
    "tennis": {
        "people": "server umpire champion opponent",
        "things": "racket serve volley backhand forehand set match fault rally",
        "places": "court/on baseline/on tournament/at grandstand",
        "verbs": "swing:racket return:serve,volley,backhand win:set,match,rally lose:set,match,rally "
        "smash:racket,volley string:racket practise:serve,volley,backhand,forehand",
        "acts": "serve volley lunge",
        "adjs": "powerful:serve,backhand,forehand,volley wooden:racket deciding:set,rally double:fault",
    },
    "orchestra": {
        "people": "conductor violinist cellist pianist composer soloist",
        "things": "violin cello flute symphony melody note chord score trumpet organ",
        "places": "auditorium podium/on rehearsal/at",
        "verbs": "tune:violin,cello,organ,flute "
        "play:violin,cello,flute,symphony,melody,note,chord,trumpet,organ "
        "rehearse:symphony,melody,score conduct:symphony compose:symphony,melody "
        "bow:violin,cello",
        "acts": "improvise rehearse hum",
        "adjs": "melodic:symphony,flute,violin,cello minor:chord,melody,symphony "
        "loud:trumpet,organ,chord harmonious:chord,melody,symphony",
        "events": "sound:trumpet,organ,flute",
    },
    "river": {
        "people": "ferryman paddler rafter boatman",
        "things": "river stream current canoe raft bridge waterfall ferry dam rapid",
        "places": "bank/on delta valley shallows",
        "verbs": "cross:river,stream,bridge paddle:canoe,raft ford:river,stream steer:canoe,raft,ferry "
        "dam:river,stream swim:river,rapid",
        "acts": "wade paddle drift",
        "adjs": "shallow:river,stream swift:river,current,stream,rapid winding:river,stream muddy:river,stream",
        "events": "flow:river,stream,current flood:river,stream meander:river,stream drift:canoe,raft,ferry",
    },
    "banking": {
        "people": "banker cashier investor borrower lender accountant",
        "things": "loan account mortgage deposit cheque bill debt bond note ~interest ~credit",
        "places": "bank branch/at vault counter/at",
        "verbs": "lend:deposit,note borrow:deposit,note repay:loan,mortgage,debt,bill cash:cheque,bond "
        "deposit:cheque,bill,note withdraw:deposit,note audit:account,loan,mortgage,debt "
        "charge:interest",
        "acts": "invest bargain",
        "adjs": "overdue:loan,bill,debt,mortgage fixed:mortgage,interest,bond,loan "
        "unpaid:loan,bill,debt joint:account,mortgage",
        "events": "mature:bond,deposit",
    },
    "court": {
        "people": "judge lawyer juror witness defendant prosecutor",
        "things": "verdict trial appeal case charge testimony lawsuit warrant ~evidence sentence",
        "places": "court bench/on courtroom dock",
        "verbs": "acquit:defendant convict:defendant prosecute:case,charge,lawsuit sue:defendant "
        "dismiss:case,appeal,charge,lawsuit hear:case,appeal,testimony,evidence "
        "deliver:verdict,sentence,testimony",
        "acts": "testify plead object",
        "adjs": "guilty:verdict unanimous:verdict legal:case,appeal,charge,lawsuit,evidence "
        "circumstantial:evidence,case",
    },
    "biology": {
        "people": "biologist geneticist researcher botanist",
        "things": "cell gene protein enzyme tissue membrane embryo chromosome virus mutation nucleus",
        "places": "dish greenhouse laboratory",
        "verbs": "clone:cell,gene,embryo sequence:gene,protein,virus,chromosome "
        "culture:cell,tissue,virus,embryo isolate:cell,gene,protein,enzyme,virus "
        "stain:cell,tissue,membrane dissect:embryo,tissue",
        "acts": "experiment hypothesise",
        "adjs": "genetic:mutation cellular:membrane,protein,tissue "
        "microscopic:cell,embryo,virus,membrane dominant:gene,mutation",
        "events": "divide:cell,embryo mutate:gene,virus evolve:virus,protein,enzyme",
    },
    "dogs": {
        "people": "trainer breeder groomer walker",
        "things": "puppy leash collar bone terrier hound spaniel bark paw",
        "places": "kennel basket park",
        "verbs": "train:puppy,terrier,hound,spaniel groom:puppy,terrier,hound,spaniel "
        "pet:puppy,terrier,hound,spaniel leash:puppy,terrier,hound,spaniel bury:bone "
        "fetch:leash,collar,bone feed:puppy,terrier,hound,spaniel",
        "acts": "whistle jog",
        "adjs": "playful:puppy,terrier,hound,spaniel obedient:puppy,terrier,hound,spaniel "
        "furry:puppy,paw,spaniel loyal:hound,terrier,spaniel",
        "events": "bark:puppy,terrier,hound,spaniel growl:terrier,hound,puppy chew:puppy,terrier "
        "sniff:hound,terrier,spaniel",
    },
    "forest": {
        "people": "forester lumberjack ranger logger woodsman",
        "things": "tree oak pine branch trunk root leaf acorn log axe bark ~moss",
        "places": "forest woodland clearing canopy/under",
        "verbs": "fell:tree,oak,pine,trunk chop:log,trunk,branch,oak plant:oak,pine,tree,acorn "
        "stack:log,branch prune:branch,oak,root split:log,trunk",
        "acts": "forage camp",
        "adjs": "leafy:tree,oak,branch mossy:log,trunk,root,bark evergreen:pine,tree "
        "ancient:oak,pine,tree hollow:log,trunk",
        "events": "rustle:leaf,branch,tree sprout:acorn,leaf,root",
    },
    "baseball": {
        "people": "pitcher catcher batter outfielder umpire shortstop",
        "things": "bat glove homer inning strike helmet ball curveball base",
        "places": "dugout mound/on bullpen outfield",
        "verbs": "pitch:inning,curveball,ball catch:ball,curveball hit:ball,homer,curveball steal:base "
        "swing:bat throw:ball,strike,glove bunt:ball",
        "acts": "bat slide bunt",
        "adjs": "scoreless:inning leather:glove extra:inning foul:ball,strike wooden:bat",
    },
    "birds": {
        "creatures": "eagle sparrow owl crane heron robin swallow",
        "things": "nest egg feather beak wing chick bill worm talon",
        "places": "birdhouse marsh treetop aviary",
        "verbs": "hatch:egg feed:chick peck:egg,worm,feather line:nest swallow:worm guard:nest,egg,chick "
        "preen:feather,wing flap:wing",
        "acts": "migrate chirp perch soar hoot",
        "adjs": "feathered:wing,chick speckled:egg,wing,feather hooked:beak,bill,talon hungry:chick",
        "events": "hatch:egg,chick flutter:feather,wing,chick",
    },
    "construction": {
        "people": "bricklayer builder carpenter plumber architect foreman",
        "things": "brick wall crane scaffold hammer nail drill beam foundation ~cement ~concrete",
        "places": "site/on roof/on scaffolding/on basement",
        "verbs": "build:wall,scaffold,foundation demolish:wall,scaffold,foundation hammer:nail,beam "
        "plaster:wall lay:brick,foundation,beam pour:cement,concrete "
        "drill:wall,beam,brick,concrete operate:crane,drill",
        "acts": "build hammer",
        "adjs": "structural:beam,wall,foundation sturdy:beam,wall,scaffold,crane,foundation "
        "rusty:nail,hammer,crane wet:cement,concrete,brick",
        "events": "collapse:wall,scaffold,crane,beam",
    },
    "computing": {
        "people": "programmer hacker developer administrator",
        "things": "computer keyboard server file password bug virus mouse thread key ~software",
        "places": "cloud network/on terminal/at database",
        "verbs": "debug:software,server,thread compile:software,file delete:file,password,virus "
        "encrypt:file,password,key install:software,server,keyboard "
        "download:file,software,virus reboot:computer,server click:mouse code:software",
        "acts": "program hack",
        "adjs": "digital:file,key,computer encrypted:file,password,server corrupt:file,database "
        "online:server,computer portable:computer,keyboard,mouse",
        "events": "crash:computer,server,software",
    },
    "astronomy": {
        "people": "astronomer stargazer physicist",
        "things": "telescope planet star comet galaxy moon orbit asteroid nebula eclipse meteor",
        "places": "observatory planetarium dome/under",
        "verbs": "observe:planet,star,comet,galaxy,moon,asteroid,nebula,eclipse,meteor "
        "discover:planet,star,comet,galaxy,moon,asteroid focus:telescope "
        "chart:star,orbit,galaxy,comet,planet calibrate:telescope "
        "photograph:galaxy,nebula,eclipse,moon",
        "acts": "stargaze theorise",
        "adjs": "distant:star,galaxy,planet,nebula lunar:eclipse,orbit solar:eclipse,orbit "
        "bright:star,comet,meteor,moon elliptical:orbit,galaxy",
        "events": "orbit:planet,moon,asteroid,comet shine:star,moon,comet explode:star,meteor",
    },
    "cinema": {
        "people": "director actor screenwriter producer cameraman star",
        "things": "film camera scene screenplay trailer sequel blockbuster shot reel",
        "places": "studio cinema premiere/at screen/on",
        "verbs": "film:scene,sequel,trailer,shot direct:film,scene,sequel,blockbuster "
        "edit:film,scene,trailer,shot shoot:film,scene,sequel "
        "release:film,trailer,sequel,blockbuster screen:film,reel,blockbuster",
        "acts": "audition act",
        "adjs": "cinematic:shot,scene,trailer silent:film,scene,reel "
        "animated:film,sequel,trailer,blockbuster thrilling:film,scene,sequel",
    },
    "electricity": {
        "people": "electrician engineer technician",
        "things": "wire circuit battery socket fuse voltage current switch bulb generator charge conductor",
        "places": "substation grid/on panel/on",
        "verbs": "wire:socket,switch,circuit,bulb charge:battery insulate:wire,conductor,circuit "
        "rewire:socket,switch,circuit measure:voltage,current,charge solder:wire,circuit,fuse "
        "ground:socket,circuit,generator",
        "acts": "solder",
        "adjs": "electric:generator,circuit,current,charge,bulb live:wire,socket,circuit "
        "insulated:wire,conductor blown:fuse,bulb faulty:wire,switch,socket,fuse,circuit",
        "events": "spark:wire,socket,switch,circuit flicker:bulb flow:current,charge",
    },
    "sailing": {
        "people": "sailor captain skipper navigator helmsman",
        "things": "ship sail anchor mast rudder yacht hull compass bow rope",
        "places": "harbour deck/on port cabin",
        "verbs": "steer:ship,yacht hoist:sail,anchor furl:sail moor:ship,yacht anchor:ship,yacht "
        "sail:ship,yacht scrub:hull raise:sail,anchor,mast",
        "acts": "navigate sail",
        "adjs": "seaworthy:ship,yacht,hull nautical:compass salty:rope,sail,hull torn:sail",
        "events": "capsize:yacht,ship sink:ship,yacht,anchor drift:yacht,ship",
    },
    "fishing": {
        "people": "fisherman angler trawlerman",
        "things": "trout salmon bait hook net reel rod scale tackle fin lure",
        "places": "lake pier/on jetty/on pond",
        "verbs": "catch:trout,salmon hook:trout,salmon bait:hook,lure cast:net,rod,lure,bait "
        "reel:trout,salmon gut:trout,salmon fish:trout,salmon",
        "acts": "fish trawl",
        "adjs": "slippery:trout,salmon,scale,fin barbed:hook,lure silvery:trout,salmon,scale,fin "
        "freshwater:trout,salmon",
        "events": "bite:trout,salmon wriggle:trout,salmon,bait",
    },
    "cooking": {
        "people": "chef cook waiter baker diner",
        "things": "soup stew pan oven knife onion recipe dish sauce spice plate ~garlic ~dough",
        "places": "kitchen restaurant stove/on pantry",
        "verbs": "chop:onion,garlic boil:soup,stew,onion fry:onion,garlic bake:dough,dish "
        "season:soup,stew,sauce,dish stir:soup,stew,sauce taste:soup,stew,sauce,dish "
        "simmer:soup,stew,sauce",
        "acts": "cook dine",
        "adjs": "spicy:soup,stew,sauce,dish delicious:soup,stew,sauce,dish salty:soup,stew,sauce,dish "
        "ripe:onion tasty:soup,stew,dish",
        "events": "simmer:soup,stew,sauce sizzle:onion,garlic,pan",
    },
    "gardening": {
        "people": "gardener florist landscaper",
        "things": "rose tulip seed bed hedge lawn weed shovel rake bulb blossom ~compost ~soil",
        "places": "garden greenhouse orchard flowerpot",
        "verbs": "plant:rose,tulip,seed,bulb,hedge water:rose,tulip,seed,lawn,bed weed:bed,lawn mow:lawn "
        "trim:hedge,rose,lawn dig:bed,soil,compost rake:lawn,soil,bed",
        "acts": "garden dig",
        "adjs": "fragrant:rose,blossom,tulip fertile:soil,bed,compost thorny:rose,hedge,weed overgrown:lawn,hedge,bed",
        "events": "bloom:rose,tulip,blossom wilt:rose,tulip,blossom sprout:seed,weed,bulb,tulip",
    },
    "medicine": {
        "people": "doctor nurse surgeon patient pharmacist",
        "things": "vaccine bandage fever wound symptom needle pill infection virus organ injection",
        "places": "hospital clinic ward pharmacy",
        "verbs": "diagnose:fever,infection,virus,symptom vaccinate:patient cure:fever,infection,patient "
        "bandage:wound prescribe:pill,vaccine,injection transplant:organ "
        "treat:wound,fever,infection,patient heal:wound,patient",
        "acts": "cough recover",
        "adjs": "infectious:virus,fever,wound sterile:needle,bandage painful:wound,injection,symptom "
        "chronic:infection,symptom surgical:wound,needle,bandage",
        "events": "heal:wound",
    },
    "school": {
        "people": "teacher pupil student headmaster tutor",
        "things": "lesson exam textbook grade essay blackboard ruler pencil quiz subject",
        "places": "classroom school desk/at playground",
        "verbs": "teach:lesson,subject,pupil grade:exam,essay,quiz study:subject,lesson,textbook "
        "revise:essay,lesson,subject pass:exam,quiz,subject fail:exam,quiz,subject "
        "memorise:lesson,textbook,essay",
        "acts": "study graduate",
        "adjs": "academic:subject,essay,grade,textbook difficult:exam,lesson,quiz,subject oral:exam,quiz,lesson",
    },
    "farming": {
        "people": "farmer shepherd farmhand milkmaid",
        "things": "cow sheep goat pig tractor plough crop calf ~wheat ~hay ~barley",
        "places": "barn field farm pen stable",
        "verbs": "milk:cow,goat herd:cow,sheep,goat,pig shear:sheep harvest:crop,wheat,barley,hay "
        "plough:crop feed:cow,sheep,goat,pig,calf sow:crop,wheat,barley slaughter:pig,calf",
        "acts": "harvest toil",
        "adjs": "woolly:sheep,goat ripe:crop,wheat,barley organic:crop,wheat,hay,barley fat:pig,calf,cow,sheep",
        "events": "graze:cow,sheep,goat,calf moo:cow,calf ripen:crop,wheat,barley",
    },
    "army": {
        "people": "soldier general sergeant sniper officer enemy",
        "things": "rifle tank battle bomb weapon uniform shell tent attack convoy regiment",
        "places": "battlefield trench camp bunker front/at",
        "verbs": "fire:rifle,shell,weapon attack:convoy,tank,regiment,enemy bomb:convoy,tank "
        "defend:regiment,convoy load:rifle,tank,weapon,shell ambush:convoy,regiment,enemy "
        "command:regiment,attack,convoy",
        "acts": "march retreat surrender charge",
        "adjs": "military:convoy,uniform,tent,attack armoured:convoy,tank,regiment "
        "bloody:battle,attack,uniform nuclear:weapon,bomb",
        "events": "explode:bomb,shell,tank",
    },
    "weather": {
        "people": "forecaster meteorologist weatherman",
        "things": "storm cloud breeze hurricane blizzard umbrella forecast thunderstorm ~rain ~snow ~fog ~hail",
        "places": "coast/on valley sky/under lighthouse",
        "verbs": "forecast:storm,rain,snow,blizzard,hurricane,fog,hail "
        "predict:storm,rain,hurricane,thunderstorm,snow track:storm,hurricane,cloud,blizzard "
        "shovel:snow,hail unfold:umbrella",
        "acts": "shiver shelter",
        "adjs": "windy:forecast,storm stormy:cloud,forecast heavy:rain,snow,fog,cloud,hail "
        "icy:rain,breeze,hail,snow humid:breeze,fog",
        "events": "rage:storm,hurricane,blizzard melt:snow,hail thunder:storm,cloud "
        "howl:storm,blizzard,hurricane gather:cloud,fog,storm",
    },
    "railway": {
        "people": "conductor passenger commuter stationmaster signalman",
        "things": "train ticket locomotive carriage wagon track timetable suitcase express",
        "places": "station platform/on tunnel compartment",
        "verbs": "board:train,carriage,express punch:ticket couple:carriage,wagon,locomotive "
        "derail:train,wagon shunt:wagon,carriage,locomotive reserve:ticket,carriage",
        "acts": "commute travel",
        "adjs": "punctual:train,express crowded:train,carriage,express delayed:train,express diesel:locomotive,train",
        "events": "rumble:train,wagon,locomotive derail:train,wagon,express whistle:train,locomotive "
        "depart:train,express",
    },
    "driving": {
        "people": "driver mechanic motorist chauffeur",
        "things": "car engine tyre brake trunk truck horn clutch gear windscreen ~petrol",
        "places": "garage motorway/on roundabout/at lane",
        "verbs": "park:car,truck drive:car,truck repair:engine,brake,clutch,car,truck,gear "
        "overtake:truck,car inflate:tyre honk:horn refuel:car,truck tow:car,truck",
        "acts": "swerve accelerate brake",
        "adjs": "flat:tyre automatic:gear,car,truck,clutch noisy:engine,horn,brake,truck greasy:engine,gear,clutch",
        "events": "skid:car,truck,tyre stall:engine,car crash:car,truck",
    },
    "sewing": {
        "people": "tailor seamstress dressmaker weaver",
        "things": "needle thread dress button fabric sleeve seam quilt shirt ~silk ~cotton ~wool",
        "places": "workshop loom/at",
        "verbs": "sew:dress,button,seam,quilt,shirt,sleeve knit:wool,sleeve "
        "stitch:seam,button,quilt,fabric,silk hem:dress,sleeve weave:silk,cotton,wool,fabric "
        "thread:needle iron:shirt,dress,fabric,silk embroider:dress,silk,quilt",
        "acts": "sew knit",
        "adjs": "woollen:dress,quilt,sleeve,thread striped:shirt,dress,fabric "
        "embroidered:quilt,dress,sleeve,shirt loose:button,thread,seam",
        "events": "fray:seam,thread,sleeve,fabric",
    },
    "jewellery": {
        "people": "jeweller goldsmith appraiser gemologist",
        "things": "diamond necklace bracelet ring emerald ruby pearl gem pendant ~gold ~silver",
        "places": "showcase boutique mint",
        "verbs": "engrave:ring,bracelet,pendant,silver,gold appraise:diamond,necklace,ruby,emerald,gem "
        "polish:silver,ring,gem,pearl,bracelet cut:diamond,emerald,ruby,gem "
        "mount:diamond,ruby,emerald,pearl melt:gold,silver",
        "acts": "engrave haggle",
        "adjs": "golden:ring,necklace,bracelet,pendant precious:gem,ruby,pearl,gold "
        "flawless:diamond,emerald,pearl,ruby antique:necklace,ring,pendant,bracelet",
        "events": "sparkle:diamond,ruby,emerald,gem,necklace glitter:gold,silver,ring,gem",
    },
    "painting": {
        "people": "painter artist curator sculptor",
        "things": "portrait canvas brush easel palette sketch fresco mural landscape ~paint",
        "places": "gallery museum exhibition/at studio",
        "verbs": "paint:portrait,mural,landscape,fresco sketch:portrait,landscape "
        "frame:portrait,sketch,canvas,landscape exhibit:portrait,sketch,landscape,canvas "
        "restore:fresco,mural,portrait,canvas varnish:canvas,portrait,easel",
        "acts": "paint draw",
        "adjs": "colourful:mural,fresco,palette,landscape abstract:canvas,portrait,sketch,mural "
        "artistic:sketch,brush wet:paint,canvas,fresco",
    },
    "elections": {
        "people": "candidate senator voter minister mayor president",
        "things": "election ballot campaign bill vote debate speech party policy law",
        "places": "parliament senate cabinet poll/at",
        "verbs": "elect:senator,mayor,president veto:bill,law,policy support:candidate,party,policy "
        "oppose:bill,policy,law,party debate:bill,law,policy amend:bill,law,policy "
        "win:election,debate,vote count:ballot,vote",
        "acts": "campaign vote resign",
        "adjs": "political:party,debate,speech,campaign democratic:election,vote,party "
        "liberal:party,policy,law federal:law,policy,election",
    },
    "geology": {
        "people": "geologist volcanologist miner prospector",
        "things": "volcano rock fossil earthquake crater mineral fault plate crystal crust ~lava ~granite ~magma",
        "places": "quarry mine canyon",
        "verbs": "excavate:fossil,crater,rock,crystal mine:mineral,granite,crystal "
        "map:fault,crater,volcano,canyon drill:rock,granite,fault fracture:rock,granite,crystal "
        "date:fossil,rock,granite,mineral",
        "acts": "prospect tunnel",
        "adjs": "volcanic:rock,crater,crystal molten:lava,magma,rock seismic:fault,earthquake "
        "sedimentary:rock,fossil active:volcano,fault",
        "events": "erupt:volcano,lava,magma erode:rock,granite,crater tremble:volcano,plate,fault",
    },
    "climbing": {
        "people": "climber mountaineer sherpa hiker",
        "things": "mountain summit cliff glacier harness rope avalanche peak axe crevasse ascent",
        "places": "camp ridge/on slope/on ledge/on",
        "verbs": "climb:mountain,cliff,glacier,peak scale:cliff,peak,mountain "
        "conquer:summit,peak,mountain anchor:rope,harness descend:cliff,glacier,mountain "
        "traverse:glacier,crevasse,mountain survive:avalanche,ascent",
        "acts": "hike climb rappel",
        "adjs": "steep:cliff,mountain,ascent,glacier snowy:summit,peak,mountain,glacier "
        "alpine:peak,glacier,summit rocky:cliff,peak,summit icy:crevasse,glacier,cliff",
    },
    "church": {
        "people": "priest bishop monk nun chaplain pilgrim",
        "things": "prayer hymn sermon altar bible candle organ psalm icon blessing",
        "places": "church chapel monastery pulpit cathedral",
        "verbs": "bless:altar,candle,icon,pilgrim preach:sermon chant:psalm,prayer,hymn "
        "recite:prayer,psalm,blessing worship:icon sing:hymn,psalm light:candle",
        "acts": "pray kneel worship confess",
        "adjs": "holy:bible,altar,icon,psalm sacred:altar,hymn,icon devout:prayer,sermon "
        "solemn:sermon,prayer,hymn,blessing",
    },
    "publishing": {
        "people": "author editor novelist poet publisher journalist",
        "things": "novel manuscript chapter draft poem sentence paragraph magazine bestseller pen",
        "places": "library bookshop newsroom typewriter/at",
        "verbs": "publish:novel,poem,magazine,bestseller "
        "edit:manuscript,chapter,draft,paragraph,magazine "
        "write:novel,chapter,poem,sentence,paragraph,draft "
        "proofread:manuscript,chapter,draft,paragraph print:novel,magazine,bestseller,poem "
        "revise:manuscript,chapter,draft,poem",
        "acts": "write scribble",
        "adjs": "literary:magazine,novel,manuscript fictional:chapter,novel "
        "handwritten:manuscript,draft,poem,paragraph poetic:sentence,novel,paragraph",
    },
    "prison": {
        "people": "prisoner warden guard inmate convict burglar",
        "things": "cell sentence handcuff escape riot lock key fence",
        "places": "prison jail dungeon yard",
        "verbs": "imprison:burglar,convict handcuff:prisoner,burglar,inmate "
        "guard:cell,fence,prisoner,inmate lock:cell serve:sentence plot:escape,riot pick:lock "
        "interrogate:inmate,prisoner,burglar",
        "acts": "escape riot",
        "adjs": "barred:cell criminal:sentence daring:escape violent:riot,escape solitary:cell electrified:fence",
    },
    "aviation": {
        "people": "pilot stewardess copilot aviator passenger",
        "things": "plane helicopter propeller cockpit wing flight parachute jet glider engine",
        "places": "airport runway/on hangar tarmac/on",
        "verbs": "fly:plane,helicopter,jet,glider land:plane,helicopter,jet,glider "
        "pilot:plane,jet,helicopter hijack:plane,flight,jet refuel:plane,jet,helicopter "
        "divert:flight,plane board:flight,plane,jet",
        "acts": "fly taxi parachute",
        "adjs": "supersonic:jet,flight,plane airborne:plane,helicopter,glider,jet turbulent:flight "
        "transatlantic:flight",
        "events": "hover:helicopter,glider land:plane,jet,helicopter taxi:plane,jet",
    },
    "dentistry": {
        "people": "dentist orthodontist hygienist patient",
        "things": "tooth cavity crown denture molar gum filling drill toothbrush root brace mouth jaw "
        "~toothpaste ~plaque",
        "places": "surgery clinic practice",
        "verbs": "extract:tooth,molar,root drill:tooth,cavity,molar fill:cavity,tooth,molar "
        "floss:tooth,molar whiten:tooth,crown,denture rinse:denture,toothbrush,mouth "
        "numb:gum,tooth fit:brace,crown,denture,filling",
        "acts": "floss gargle wince",
        "adjs": "dental:crown,brace,filling,drill rotten:tooth,molar,root "
        "sore:gum,tooth,molar,jaw,mouth porcelain:crown,filling,denture",
        "events": "ache:tooth,molar,gum,jaw bleed:gum decay:tooth,molar,root",
    },
    "boxing": {
        "people": "boxer heavyweight challenger contender trainer",
        "things": "punch jab glove round title belt knockout uppercut bout blow",
        "places": "ring gym corner arena",
        "verbs": "punch:challenger,heavyweight,boxer,contender dodge:punch,jab,uppercut,blow "
        "throw:punch,jab,uppercut block:punch,jab,uppercut,blow defend:title,belt "
        "land:punch,jab,uppercut,blow fight:bout,round,challenger,heavyweight",
        "acts": "spar box duck",
        "adjs": "bruising:punch,bout,round,blow brutal:knockout,blow,uppercut,bout undisputed:title bare:blow,punch",
    },
    "theatre": {
        "people": "actress playwright understudy actor dancer comedian",
        "things": "play rehearsal costume curtain script scene drama tragedy comedy mask role",
        "places": "theatre stage/on balcony/on foyer",
        "verbs": "perform:play,drama,tragedy,comedy,role,scene rehearse:play,scene,role,drama,comedy "
        "stage:play,drama,tragedy,comedy applaud:actress,dancer,comedian,play,drama "
        "cast:comedian,actress,play,drama memorise:script,role,scene",
        "acts": "perform bow dance act",
        "adjs": "theatrical:costume,mask,role comic:role,scene,play tragic:role,scene,play,drama "
        "dramatic:scene,role,rehearsal,script",
    },
}
